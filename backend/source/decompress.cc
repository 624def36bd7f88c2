#include "backend/source/decompress.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/status.h"
#include "backend/source/gzip_header.h"

namespace slacker {
namespace {

constexpr size_t kOutputBytes = 256 << 10;
constexpr size_t kMagicBytes = 4;
constexpr int kMaxWindowLog = 27;

// The inner stream, with what was read ahead of it put back.
class Input {
 public:
  explicit Input(std::unique_ptr<ByteSource> source) : source_(std::move(source)) {}

  // Up to kMagicBytes bytes from the beginning.
  absl::StatusOr<std::string_view> Peek() {
    while (head_.size() < kMagicBytes) {
      ASSIGN_OR_RETURN(const std::string_view bytes, source_->Next());
      if (bytes.empty()) break;
      head_ += bytes;
    }
    return std::string_view(head_);
  }

  absl::StatusOr<std::string_view> Next() {
    if (!head_handed_ && !head_.empty()) {
      head_handed_ = true;
      return std::string_view(head_);
    }
    return source_->Next();
  }

 private:
  std::unique_ptr<ByteSource> source_;
  std::string head_;
  bool head_handed_ = false;
};

// One compressed format. Thread-compatible.
class Codec {
 public:
  virtual ~Codec() = default;
  // Takes from `in` and fills `out`; how much of `out` was filled.
  virtual absl::StatusOr<size_t> Step(std::string_view* in, char* out, size_t out_size) = 0;
  // Whether the input may end here.
  virtual bool AtBoundary() const = 0;
};

class GzipCodec final : public Codec {
 public:
  GzipCodec() { Reset(); }

  absl::StatusOr<size_t> Step(std::string_view* in, char* out, size_t out_size) override {
    if (AtBoundary()) {
      if (in->empty()) return size_t{0};
      Reset();
    }
    ASSIGN_OR_RETURN(const bool in_body, header_.Take(in));
    if (!in_body) return size_t{0};
    const size_t offered = std::min<size_t>(in->size(), 1U << 30);
    state_->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(in->data()));
    state_->avail_in = static_cast<uint32_t>(offered);
    state_->next_out = reinterpret_cast<uint8_t*>(out);
    state_->avail_out = static_cast<uint32_t>(out_size);
    const int result = isal_inflate(state_.get());
    if (result != ISAL_DECOMP_OK) return InvalidArgument("damaged gzip stream: " + Reason(result));
    in->remove_prefix(offered - state_->avail_in);
    return out_size - state_->avail_out;
  }

  // Checksum and length of the member have been compared then.
  bool AtBoundary() const override { return state_->block_state == ISAL_BLOCK_FINISH; }

 private:
  void Reset() {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP_NO_HDR_VER;
    header_ = GzipHeader();
  }

  static std::string Reason(int result) {
    switch (result) {
      case ISAL_INVALID_BLOCK:
        return "invalid block";
      case ISAL_INVALID_SYMBOL:
        return "invalid symbol";
      case ISAL_INVALID_LOOKBACK:
        return "invalid distance";
      case ISAL_INCORRECT_CHECKSUM:
        return "wrong checksum";
      default:
        return "error " + std::to_string(result);
    }
  }

  GzipHeader header_;  // of the present member
  const std::unique_ptr<inflate_state> state_ = std::make_unique<inflate_state>();
};

class ZstdCodec final : public Codec {
 public:
  ZstdCodec() : context_(ZSTD_createDCtx()) {
    SLACKER_CHECK(context_ != nullptr, "out of memory");
    (void)ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kMaxWindowLog);
  }
  ZstdCodec(const ZstdCodec&) = delete;
  ZstdCodec& operator=(const ZstdCodec&) = delete;
  ~ZstdCodec() override { (void)ZSTD_freeDCtx(context_); }

  absl::StatusOr<size_t> Step(std::string_view* in, char* out, size_t out_size) override {
    ZSTD_inBuffer input = {in->data(), in->size(), 0};
    ZSTD_outBuffer output = {out, out_size, 0};
    if (at_boundary_ && in->empty()) return size_t{0};
    const size_t result = ZSTD_decompressStream(context_, &output, &input);
    if (ZSTD_isError(result) != 0) {
      return InvalidArgument(std::string("damaged zstd stream: ") + ZSTD_getErrorName(result));
    }
    at_boundary_ = result == 0;
    in->remove_prefix(input.pos);
    return output.pos;
  }

  bool AtBoundary() const override { return at_boundary_; }

 private:
  ZSTD_DCtx* const context_;
  bool at_boundary_ = false;
};

enum class Format { kPlain, kGzip, kZstd };

// By the first bytes of a gzip member (RFC 1952), a zstd frame or a skippable frame (RFC 8878).
Format FormatOf(std::string_view head) {
  if (head.starts_with("\x1f\x8b")) return Format::kGzip;
  if (head.starts_with("\x28\xb5\x2f\xfd")) return Format::kZstd;
  if (head.size() >= kMagicBytes && (head[0] & 0xf0) == 0x50 &&
      head.substr(1).starts_with("\x2a\x4d\x18")) {
    return Format::kZstd;
  }
  return Format::kPlain;
}

std::unique_ptr<Codec> CodecFor(std::string_view head) {
  switch (FormatOf(head)) {
    case Format::kGzip:
      return std::make_unique<GzipCodec>();
    case Format::kZstd:
      return std::make_unique<ZstdCodec>();
    default:
      return nullptr;
  }
}

class DecompressingSource final : public ByteSource {
 public:
  DecompressingSource(std::unique_ptr<ByteSource> compressed, uint64_t max_output_bytes)
      : input_(std::move(compressed)), left_(max_output_bytes) {}

  absl::StatusOr<std::string_view> Next() override {
    if (!started_) {
      ASSIGN_OR_RETURN(const std::string_view head, input_.Peek());
      codec_ = CodecFor(head);
      started_ = true;
    }
    ASSIGN_OR_RETURN(const std::string_view bytes, codec_ == nullptr ? input_.Next() : Unpack());
    if (bytes.size() > left_) return ResourceExhausted("the layer unpacks to more than the limit");
    left_ -= bytes.size();
    return bytes;
  }

 private:
  absl::StatusOr<std::string_view> Unpack() {
    output_.resize(kOutputBytes);
    size_t filled = 0;
    while (filled < output_.size()) {
      const size_t pending = pending_.size();
      ASSIGN_OR_RETURN(const size_t made,
                       codec_->Step(&pending_, output_.data() + filled, output_.size() - filled));
      filled += made;
      if (made > 0 || pending_.size() < pending) continue;
      if (!pending_.empty()) return InvalidArgument("damaged compressed stream: no progress");
      if (input_ended_) break;
      ASSIGN_OR_RETURN(pending_, input_.Next());
      if (!pending_.empty()) continue;
      input_ended_ = true;
      if (!codec_->AtBoundary()) return InvalidArgument("the compressed stream is truncated");
    }
    return std::string_view(output_).substr(0, filled);
  }

  Input input_;
  std::unique_ptr<Codec> codec_;
  std::string_view pending_;  // of the input, not yet unpacked
  std::string output_;
  uint64_t left_;
  bool started_ = false;
  bool input_ended_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> Decompress(std::unique_ptr<ByteSource> compressed,
                                       uint64_t max_output_bytes) {
  return std::make_unique<DecompressingSource>(std::move(compressed), max_output_bytes);
}

bool IsCompressed(std::string_view head) { return FormatOf(head) != Format::kPlain; }

}  // namespace slacker
