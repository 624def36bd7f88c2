#include <zstd.h>

#include <array>

#include "backend/base/check.h"
#include "backend/base/status.h"
#include "backend/export/compressor.h"

namespace slacker {
namespace {

class ZstdCompressor final : public Compressor {
 public:
  explicit ZstdCompressor(const ZstdOptions& options) : context_(ZSTD_createCCtx()) {
    SLACKER_CHECK(context_ != nullptr, "zstd has memory");
    Set(ZSTD_c_compressionLevel, options.level);
    Set(ZSTD_c_checksumFlag, options.checksum ? 1 : 0);
    Set(ZSTD_c_nbWorkers,
        options.workers);  // refused where libzstd has no threads: then it differs
    if (options.window_log > 0) {
      Set(ZSTD_c_enableLongDistanceMatching, 1);
      Set(ZSTD_c_windowLog, options.window_log);
    }
    if (options.content_size > 0) {
      (void)ZSTD_CCtx_setPledgedSrcSize(context_, options.content_size);  // before any byte: it can
    }
  }
  ZstdCompressor(const ZstdCompressor&) = delete;
  ZstdCompressor& operator=(const ZstdCompressor&) = delete;
  ~ZstdCompressor() override { (void)ZSTD_freeCCtx(context_); }

  absl::Status Append(std::string_view bytes, const Sink& sink) override {
    return Compress(bytes, ZSTD_e_continue, sink);
  }
  absl::Status Finish(const Sink& sink) override { return Compress({}, ZSTD_e_end, sink); }
  // All blocks are full: those of a longer stream are the same.
  absl::Status Settle(const Sink& sink) override { return Compress({}, ZSTD_e_flush, sink); }

 private:
  void Set(ZSTD_cParameter parameter, int value) {
    (void)ZSTD_CCtx_setParameter(context_, parameter, value);  // what comes out is compared
  }

  absl::Status Compress(std::string_view bytes, ZSTD_EndDirective directive, const Sink& sink) {
    std::array<char, 64 << 10> out;
    ZSTD_inBuffer input = {bytes.data(), bytes.size(), 0};
    for (;;) {
      ZSTD_outBuffer output = {out.data(), out.size(), 0};
      const size_t left = ZSTD_compressStream2(context_, &output, &input, directive);
      if (ZSTD_isError(left) != 0) return Internal(std::string("zstd: ") + ZSTD_getErrorName(left));
      if (output.pos > 0) RETURN_IF_ERROR(sink({out.data(), output.pos}));
      const bool taken = input.pos == input.size;
      if (directive == ZSTD_e_continue ? taken && output.pos < out.size() : left == 0) {
        return absl::OkStatus();
      }
    }
  }

  ZSTD_CCtx* const context_;
};

}  // namespace

std::unique_ptr<Compressor> OpenZstd(const ZstdOptions& options) {
  return std::make_unique<ZstdCompressor>(options);
}

}  // namespace slacker
