#include "backend/source/verifying_source.h"

#include <utility>

#include "backend/base/status.h"

namespace slacker {
namespace {

class VerifyingSource final : public ByteSource {
 public:
  VerifyingSource(std::unique_ptr<ByteSource> inner, const Digest& digest, uint64_t size_bytes,
                  std::string what)
      : inner_(std::move(inner)), digest_(digest), left_(size_bytes), what_(std::move(what)) {}

  absl::StatusOr<std::string_view> Next() override {
    if (ended_) return std::string_view();
    ASSIGN_OR_RETURN(const std::string_view bytes, inner_->Next());
    if (bytes.size() > left_) return DataLoss(what_ + " is longer than its descriptor says");
    left_ -= bytes.size();
    hash_.Update(bytes);
    if (bytes.empty()) RETURN_IF_ERROR(CheckEnd());
    return bytes;
  }

 private:
  absl::Status CheckEnd() {
    if (left_ != 0) {
      return DataLoss(what_ + " is " + std::to_string(left_) +
                      " bytes shorter than its descriptor says");
    }
    if (const Digest actual = hash_.Finish(); actual != digest_) {
      return DataLoss(what_ + " has the digest " + actual.ToString());
    }
    ended_ = true;
    return absl::OkStatus();
  }

  std::unique_ptr<ByteSource> inner_;
  const Digest digest_;
  uint64_t left_;
  const std::string what_;
  Sha256 hash_;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> VerifyStream(std::unique_ptr<ByteSource> inner, const Digest& digest,
                                         uint64_t size_bytes, std::string what) {
  return std::make_unique<VerifyingSource>(std::move(inner), digest, size_bytes, std::move(what));
}

absl::StatusOr<std::string> ReadAll(ByteSource& source, uint64_t limit) {
  std::string all;
  for (;;) {
    ASSIGN_OR_RETURN(const std::string_view bytes, source.Next());
    if (bytes.empty()) return all;
    if (bytes.size() > limit - all.size()) {
      return ResourceExhausted("larger than " + std::to_string(limit) + " bytes");
    }
    all += bytes;
  }
}

}  // namespace slacker
