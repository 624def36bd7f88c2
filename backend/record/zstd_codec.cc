#include "backend/record/zstd_codec.h"

#include <zstd.h>

#include <algorithm>
#include <memory>

#include "backend/base/check.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct FreeDecompressor {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// Making a context costs more than compressing a small piece.
ZSTD_CCtx* Compressor() {
  thread_local const std::unique_ptr<ZSTD_CCtx, FreeCompressor> context(ZSTD_createCCtx());
  SLACKER_CHECK(context != nullptr, "out of memory");
  return context.get();
}

ZSTD_DCtx* Decompressor() {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeDecompressor> context(ZSTD_createDCtx());
  SLACKER_CHECK(context != nullptr, "out of memory");
  return context.get();
}

}  // namespace

bool CompressOrStore(std::string_view data, int level, std::string* out) {
  const size_t start = out->size();
  const size_t worth = data.size() - data.size() / 16;
  out->resize(start + ZSTD_compressBound(data.size()));
  const size_t packed =
      ZSTD_compressCCtx(Compressor(), out->data() + start, out->size() - start, data.data(),
                        data.size(), std::clamp(level, ZSTD_minCLevel(), ZSTD_maxCLevel()));
  const bool compressed = ZSTD_isError(packed) == 0 && packed < worth;
  if (compressed) {
    out->resize(start + packed);
  } else {
    out->resize(start);
    out->append(data);
  }
  return compressed;
}

absl::Status DecompressUpTo(std::string_view stored, size_t limit, std::string* out) {
  out->resize(limit);
  const size_t result =
      ZSTD_decompressDCtx(Decompressor(), out->data(), limit, stored.data(), stored.size());
  if (ZSTD_isError(result) != 0) {
    return DataLoss(std::string("zstd: ") + ZSTD_getErrorName(result));
  }
  out->resize(result);
  return absl::OkStatus();
}

absl::Status DecompressExactly(std::string_view stored, size_t size, std::string* out) {
  RETURN_IF_ERROR(DecompressUpTo(stored, size, out));
  return out->size() == size ? absl::OkStatus() : DataLoss("zstd: fewer bytes than expected");
}

}  // namespace slacker
