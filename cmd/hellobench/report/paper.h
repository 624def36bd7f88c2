// What HelloBench's authors measured: T. Harter et al., "Slacker: Fast Distribution with Lazy Docker Containers",
// FAST'16. AUFS there is what overlayfs is here; their Slacker is not this one.
#pragma once

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

}  // namespace slacker::hellobench::paper
