#define ZSTD_STATIC_LINKING_ONLY  // memory of one's own: in libzstd.so since 1.0, though not for ever

#include <zstd.h>
#include <zstd_errors.h>

#include <cstdlib>
#include <string>
#include <unordered_map>

#include "backend/base/check.h"
#include "backend/base/spill.h"
#include "backend/base/status.h"
#include "backend/source/codec.h"

namespace slacker {
namespace {

// Memory of one decompression. What is touched of a large window is let go again now and then; most of
// it is never looked at. One thread.
class WindowMemory {
 public:
  WindowMemory() = default;
  WindowMemory(const WindowMemory&) = delete;
  WindowMemory& operator=(const WindowMemory&) = delete;
  ~WindowMemory() { SLACKER_CHECK(large_.empty(), "zstd frees what it has taken"); }

  ZSTD_customMem ForZstd() { return {&Allocate, &Free, this}; }
  bool has_large() const { return !large_.empty(); }

 private:
  static constexpr size_t kLargeBytes = size_t{16} << 20;

  static void* Allocate(void* memory, size_t bytes) {
    if (bytes < kLargeBytes) return std::malloc(bytes);
    void* const block = AllocateTable(bytes);
    static_cast<WindowMemory*>(memory)->large_.emplace(block, bytes);
    return block;
  }
  static void Free(void* memory, void* block) {
    auto& large = static_cast<WindowMemory*>(memory)->large_;
    const auto found = large.find(block);
    if (found == large.end()) {
      std::free(block);
      return;
    }
    FreeTable(block, found->second);
    large.erase(found);
  }

  std::unordered_map<void*, size_t> large_;  // with their sizes
};

class ZstdFrames final : public Codec {
 public:
  ZstdFrames() : context_(ZSTD_createDCtx_advanced(memory_.ForZstd())) {
    SLACKER_CHECK(context_ != nullptr, "out of memory");
    (void)ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kMaxZstdWindowLog);
  }
  ZstdFrames(const ZstdFrames&) = delete;
  ZstdFrames& operator=(const ZstdFrames&) = delete;
  ~ZstdFrames() override { (void)ZSTD_freeDCtx(context_); }

  absl::StatusOr<size_t> Step(std::string_view* in, char* out, size_t out_size) override {
    ZSTD_inBuffer input = {in->data(), in->size(), 0};
    ZSTD_outBuffer output = {out, out_size, 0};
    if (at_boundary_ && in->empty()) return size_t{0};
    const size_t result = ZSTD_decompressStream(context_, &output, &input);
    if (memory_.has_large()) TrimSpilled();
    if (ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge) {
      return InvalidArgument(
          "its zstd window is larger than 512 MiB: containerd does not unpack it either (compress "
          "it with --long=29 at most)");
    }
    if (ZSTD_isError(result) != 0) {
      return InvalidArgument(std::string("damaged zstd stream: ") + ZSTD_getErrorName(result));
    }
    at_boundary_ = result == 0;
    in->remove_prefix(input.pos);
    return output.pos;
  }

  bool AtBoundary() const override { return at_boundary_; }

 private:
  WindowMemory memory_;  // before what lies in it
  ZSTD_DCtx* const context_;
  bool at_boundary_ = false;
};

}  // namespace

std::unique_ptr<Codec> OpenZstdCodec() { return std::make_unique<ZstdFrames>(); }

}  // namespace slacker
