#include "backend/export/candidates.h"

#include <zstd.h>

#include <string>

#include "backend/source/gzip_header.h"

namespace slacker {
namespace {

// Bytes of a gzip header, and what they say (RFC 1952).
constexpr size_t kExtraFlagsOffset = 8, kSystemOffset = 9;
constexpr char kBest = 2, kFastest = 4, kUnix = 3;

constexpr std::string_view kZstdMagic = "\x28\xb5\x2f\xfd";
constexpr size_t kDescriptorOffset = 4, kWindowOffset = 5;
constexpr unsigned kSingleSegmentFlag = 0x20, kChecksumFlag = 4, kDictionaryFlags = 3;
// No level that is tried has a larger window of its own. (Those that have take most of a gigabyte.)
constexpr int kLargestOwnWindow = 23;
constexpr int kLargestWindow = 27;

std::vector<Candidate> GzipCandidates(std::string_view head) {
  GzipHeader parser;
  std::string_view rest = head;
  const absl::StatusOr<bool> whole = parser.Take(&rest);
  if (!whole.ok() || !*whole) return {};
  const std::string header(head.substr(0, head.size() - rest.size()));
  const char extra = header[kExtraFlagsOffset];
  std::vector<int> levels = {6, 5, 7, 8, 4, 3, 2};
  if (extra == kBest) levels = {9};
  if (extra == kFastest) levels = {1};
  std::vector<Candidate> candidates;
  const auto add_deflate = [&](int level, DeflateStyle style) {
    candidates.push_back([=] { return OpenDeflate(header, level, style); });
  };
  for (const int level : levels) add_deflate(level, DeflateStyle::kPlain);
  if (header[kSystemOffset] == kUnix) {
    for (const int level : levels) {
      candidates.push_back([=] { return OpenGzipProgram(header, level); });
      add_deflate(level, DeflateStyle::kPigz);
    }
  } else if (extra == 0) {
    // Java's streams have the same header at every level.
    for (const int level : {9, 1}) add_deflate(level, DeflateStyle::kPlain);
  }
  return candidates;
}

std::vector<Candidate> ZstdCandidates(std::string_view head, uint64_t tar_bytes) {
  if (head.size() <= kWindowOffset) return {};
  const auto descriptor = static_cast<unsigned char>(head[kDescriptorOffset]);
  if ((descriptor & kDictionaryFlags) != 0) return {};
  ZstdOptions options;
  options.checksum = (descriptor & kChecksumFlag) != 0;
  const unsigned long long size = ZSTD_getFrameContentSize(head.data(), head.size());
  if (size != ZSTD_CONTENTSIZE_UNKNOWN) {
    if (size != tar_bytes) return {};  // it has other frames
    options.content_size = size;
  }
  if ((descriptor & kSingleSegmentFlag) == 0) {
    const int window = 10 + (static_cast<unsigned char>(head[kWindowOffset]) >> 3);
    if (window > kLargestWindow) return {};
    if (window > kLargestOwnWindow) options.window_log = window;
  }
  std::vector<Candidate> candidates;
  for (const int level : {3, 19, 9, 1, 2, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18}) {
    options.level = level;
    for (const int workers : {1, 0}) {
      options.workers = workers;
      candidates.push_back([options] { return OpenZstd(options); });
    }
  }
  return candidates;
}

}  // namespace

std::vector<Candidate> CandidatesFor(std::string_view head, uint64_t tar_bytes) {
  return head.starts_with(kZstdMagic) ? ZstdCandidates(head, tar_bytes) : GzipCandidates(head);
}

}  // namespace slacker
