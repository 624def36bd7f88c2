// Ways in which a layer may have been compressed once, each a stream that comes out byte for byte as
// that program made it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker {

// One compression of one layer. Thread-compatible. After an error it is of no use any more.
class Compressor {
 public:
  // An error of the sink ends the call, which answers it.
  using Sink = std::function<absl::Status(std::string_view)>;

  virtual ~Compressor() = default;
  // May keep bytes, or what becomes of them, for later.
  virtual absl::Status Append(std::string_view bytes, const Sink& sink) = 0;
  virtual absl::Status Finish(const Sink& sink) = 0;
  // Instead of Finish: hands out more of what comes out of the bytes so far whatever follows them.
  // REQUIRES: a multiple of kBlockBytes has been appended.
  virtual absl::Status Settle(const Sink& sink) = 0;

  static constexpr size_t kBlockBytes = 128 << 10;
};

// A gzip member (RFC 1952) that begins with `header`. `level`: 1 to 9.
enum class DeflateStyle {
  kPlain,  // zlib's deflate from the beginning to the end: most programs, Python, Java
  kPigz,   // pigz with one thread: in pieces of 128 KiB, each ended at a byte
};
std::unique_ptr<Compressor> OpenDeflate(const std::string& header, int level, DeflateStyle style);

// The same by the program gzip, whose deflate is not zlib's, as a process of its own. Its output is kept
// in a temporary file until Finish. FAILED_PRECONDITION: there is no such program.
absl::StatusOr<std::unique_ptr<Compressor>> OpenGzipProgram(const std::string& header, int level);

// A zstd frame (RFC 8878), by libzstd.
struct ZstdOptions {
  int level = 3;
  int window_log = 0;     // with matches over all of it (zstd --long); 0: the level's own
  int workers = 0;        // 1: in jobs, as the program zstd does; 0: as programs with the library
  bool checksum = false;  // behind the frame
  uint64_t content_size = 0;  // told in the header, which the level's parameters depend on; 0: not
};
// Memory: some 100 MB for the highest levels, and twice the window.
std::unique_ptr<Compressor> OpenZstd(const ZstdOptions& options);

}  // namespace slacker
