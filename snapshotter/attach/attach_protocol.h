// What slackerd asks of its attach helper, and how it travels: one packet of a SOCK_SEQPACKET
// socket pair for each request and each answer, little-endian as in backend/base/codec.h. Both ends
// are always of one build.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/os/page_cache.h"
#include "snapshotter/attach/tree_mounter.h"

namespace slacker::attach {

inline constexpr size_t kMaxPacketBytes = 128 << 10;
// More than any image has layers; the packet holds twice as many.
inline constexpr size_t kMaxBlobs = 4096;
// Of one request: their number, and the bytes of their paths.
inline constexpr size_t kMaxRanges = 1024;
inline constexpr size_t kMaxRangePathBytes = 64 << 10;

enum class Verb : uint8_t {
  kAttach = 1,  // mount `tree` on files of `fuse_directory`, or see that it is
  kDetach = 2,  // unmount tree.mount_path
  kHeal = 3,  // give every loop device on another directory beside `fuse_directory` the file of the
              // same name there, and take away the directories that nothing uses any more
  kSwitch = 4,         // put every loop device of the one blob of `tree` on the file that it says
  kReadInAdvance = 5,  // read `ranges` of tree.mount_path into the page cache; has no answer
};

struct Request {
  uint64_t id = 0;
  Verb verb = Verb::kAttach;
  std::string fuse_directory;
  std::string cache_directory;  // of blob caches, canonical; "" = none may be used
  uint32_t read_ahead_kib = 0;
  uint32_t local_read_ahead_kib = 0;  // of a tree that needs nothing but this node's disk
  TreeSpec tree;
  std::vector<FileRange> ranges;
};

struct Answer {
  uint64_t id = 0;
  absl::Status status;
};

std::string Encode(const Request& request);
std::string Encode(const Answer& answer);
// INTERNAL: not a packet of ours.
absl::StatusOr<Request> DecodeRequest(std::string_view packet);
absl::StatusOr<Answer> DecodeAnswer(std::string_view packet);

}  // namespace slacker::attach
