// What HelloBench's authors measured: T. Harter et al., "Slacker: Fast Distribution with Lazy Docker Containers",
// FAST'16. AUFS there is what overlayfs is here; their Slacker is not this one.
#pragma once

#include <string_view>

namespace slacker::hellobench::paper {

// Speed-ups beside AUFS.
inline constexpr double kDeploymentMedian = 5.3, kDeploymentTenth = 16;
inline constexpr double kDevelopmentMedian = 20, kDevelopmentTenth = 64;
// Of the time that AUFS's pull and run take; of an image's data that a start reads.
inline constexpr double kPullPercent = 76;
inline constexpr double kReadPercent = 6.4;
// Means and medians over images with AUFS, in ms.
inline constexpr double kPushMean = 72e3, kPullMean = 20e3, kRunMean = 6.1e3;
inline constexpr double kPushMedian = 61e3, kPullMedian = 16e3, kRunMedian = 970;
// Means with Slacker: what the paper says of them, 153 and 72 times faster and 17 % slower.
inline constexpr double kSlackerPushMean = 470, kSlackerPullMean = 280, kSlackerRunMean = 7.1e3;
// Medians of second runs, in ms.
inline constexpr double kSecondAufs = 670, kSecondSlacker = 1710;
inline constexpr double kImageBytesMedian = 117e6;  // compressed
// What a start reads, uncompressed.
inline constexpr double kReadBytesMedian = 20e6, kReadBytesMean = 27e6;
// Of single categories: mean runs with AUFS, in ms, and how much greater than what is read a compressed
// image is (§4.1, §4.2).
inline constexpr double kDistroRunMean = 360, kLanguageRunMean = 1.9e3, kDistroWaste = 30;
// What is told there in words: of AUFS' layers (§4.3, Figure 11), and of servers under load (§6.2).
inline constexpr std::string_view kDepth =
    "Paper, on AUFS: the deeper of 16 layers a file lies in, the longer it takes to open it.";
inline constexpr std::string_view kCopyUp =
    "Paper, on AUFS: one byte that is appended to a file of 1 GB copies all of it, for more than "
    "20 s.";
inline constexpr std::string_view kLoad =
    "Paper, under load for five minutes: the same throughput with AUFS and with its Slacker "
    "(httpd's is somewhat higher), and the first reply 3 to 19 times sooner, counted here from the "
    "beginning of the pull.";
// How much sooner, of its servers the least and the most.
inline constexpr double kReplyLeast = 3, kReplyMost = 19;

}  // namespace slacker::hellobench::paper
