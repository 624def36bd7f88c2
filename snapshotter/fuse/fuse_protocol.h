// The parts of the FUSE protocol that <linux/fuse.h> of Debian 12 (Linux 6.1, protocol 7.37) lacks,
// and our fixed choices. Source: include/uapi/linux/fuse.h of Linux 6.9 (protocol 7.40).
#pragma once

#include <linux/fuse.h>

#include <cstdint>

namespace slacker::fuse {

// Written to /dev/fuse as a notification: the kernel sends again every request that was read and
// not answered.
inline constexpr int32_t kNotifyResend = 7;
// Set in `unique` of a request that is sent again; the answer carries it too.
inline constexpr uint64_t kUniqueResend = uint64_t{1} << 63;
// INIT flag, in the half that FUSE_INIT_EXT adds: the server knows of resent requests.
inline constexpr uint64_t kHasResend = uint64_t{1} << 39;

inline constexpr uint32_t kMinorVersion = 40;
// 1 MiB: the most that one READ asks for.
inline constexpr uint16_t kMaxPages = 256;
// Requests of a loop device are background requests; the kernel has at most this many of them under
// way, on all blobs together.
inline constexpr uint16_t kMaxBackground = 1024;
inline constexpr uint16_t kCongestionThreshold = 768;
// Answers that are written at one time.
inline constexpr size_t kAnswerBuffers = 4;
inline constexpr size_t kMaxAnswerBytes = sizeof(fuse_out_header) + (size_t{kMaxPages} << 12);
// Nothing is ever written; the smallest value lets requests be read into small buffers.
inline constexpr uint32_t kMaxWrite = 4096;
// The smallest buffer that the kernel accepts (FUSE_MIN_READ_BUFFER).
inline constexpr uint32_t kRequestBufferBytes = 8192;

}  // namespace slacker::fuse
