#include "backend/source/decompress.h"

#include <algorithm>
#include <string>
#include <utility>

#include "backend/base/status.h"
#include "backend/source/codec.h"

namespace slacker {
namespace {

constexpr size_t kOutputBytes = 256 << 10;
constexpr size_t kMagicBytes = 4;

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
      return OpenGzipCodec();
    case Format::kZstd:
      return OpenZstdCodec();
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
