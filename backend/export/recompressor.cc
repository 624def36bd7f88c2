#include "backend/export/recompressor.h"

#include <algorithm>
#include <utility>

#include "backend/base/status.h"

namespace slacker {
namespace {

// First a little of the tar, which is quickly done; then so much that there are whole blocks of each
// format even where it can be compressed well.
constexpr size_t kLittleBytes = Compressor::kBlockBytes;
constexpr size_t kBeginningBytes = 8 * Compressor::kBlockBytes;

// `made` begins at `offset` of a blob.
bool Fits(std::string_view head, uint64_t offset, std::string_view made) {
  if (offset >= head.size()) return true;
  const std::string_view expected = head.substr(offset);
  const size_t both = std::min(expected.size(), made.size());
  return expected.substr(0, both) == made.substr(0, both);
}

// Ends a call of a compressor whose output is not wanted any more.
absl::Status Enough() { return absl::CancelledError(); }

}  // namespace

// A compression of the whole tar, until it cannot become the original any more.
class Recompressor::Attempt {
 public:
  static absl::StatusOr<std::unique_ptr<Attempt>> Start(const Candidate& candidate,
                                                        const OriginalBlob* original) {
    ASSIGN_OR_RETURN(Spool spool, Spool::Open());
    auto compressor = candidate();
    if (!compressor.ok()) return std::unique_ptr<Attempt>();  // this machine does not have it
    return std::unique_ptr<Attempt>(
        new Attempt(original, *std::move(compressor), std::move(spool)));
  }

  // False: this one is over. Errors: those of its file.
  absl::StatusOr<bool> Append(std::string_view bytes) {
    return Judge(compressor_->Append(bytes, sink_));
  }
  absl::StatusOr<bool> Finish() {
    ASSIGN_OR_RETURN(const bool done, Judge(compressor_->Finish(sink_)));
    return done && hash_.Finish() == original_->digest;
  }
  Spool TakeContent() { return std::move(spool_); }

 private:
  Attempt(const OriginalBlob* original, std::unique_ptr<Compressor> compressor, Spool spool)
      : original_(original), compressor_(std::move(compressor)), spool_(std::move(spool)) {}

  absl::Status Put(std::string_view bytes) {
    if (spool_.size_bytes() + bytes.size() > original_->size_bytes) return Enough();
    if (!Fits(original_->head, spool_.size_bytes(), bytes)) return Enough();
    hash_.Update(bytes);
    file_ = spool_.Append(bytes);
    return file_;
  }

  absl::StatusOr<bool> Judge(const absl::Status& compressed) const {
    RETURN_IF_ERROR(file_);
    return compressed.ok();
  }

  const OriginalBlob* const original_;
  const std::unique_ptr<Compressor> compressor_;
  const Compressor::Sink sink_ = [this](std::string_view bytes) { return Put(bytes); };
  Spool spool_;
  absl::Status file_;
  Sha256 hash_;
};

Recompressor::Recompressor(std::optional<OriginalBlob> original, uint64_t tar_bytes)
    : original_(std::move(original)) {
  if (original_.has_value()) candidates_ = CandidatesFor(original_->head, tar_bytes);
  sifting_ = !candidates_.empty();
}

Recompressor::~Recompressor() = default;

absl::Status Recompressor::Append(std::string_view bytes) {
  if (sifting_) {
    beginning_ += bytes;
    if (beginning_.size() <= kBeginningBytes) return absl::OkStatus();
    sifting_ = false;
    Sift(std::string_view(beginning_).substr(0, kLittleBytes));
    Sift(std::string_view(beginning_).substr(0, kBeginningBytes));
    RETURN_IF_ERROR(StartAttempts());
    const std::string whole = std::exchange(beginning_, {});
    return Append(whole);
  }
  if (attempts_.empty()) {
    if (anew_ == nullptr && candidates_.empty()) RETURN_IF_ERROR(StartAnew());
    return anew_ == nullptr ? absl::OkStatus() : anew_->Append(bytes);
  }
  for (size_t i = 0; i < attempts_.size();) {
    ASSIGN_OR_RETURN(const bool goes_on, attempts_[i]->Append(bytes));
    if (goes_on) {
      ++i;
    } else {
      attempts_.erase(attempts_.begin() + static_cast<ptrdiff_t>(i));
    }
  }
  return absl::OkStatus();
}

void Recompressor::Sift(std::string_view beginning) {
  std::erase_if(candidates_,
                [&](const Candidate& candidate) { return !BeginsRight(candidate, beginning); });
}

bool Recompressor::BeginsRight(const Candidate& candidate, std::string_view beginning) const {
  const auto compressor = candidate();
  if (!compressor.ok()) return false;
  uint64_t made_bytes = 0;
  bool right = true;
  const auto compare = [&](std::string_view made) {
    right = Fits(original_->head, made_bytes, made);
    made_bytes += made.size();
    return right && made_bytes < original_->head.size() ? absl::OkStatus() : Enough();
  };
  // In pieces: mostly the first block decides.
  absl::Status status;
  constexpr size_t kPieceBytes = 16 << 10;
  for (size_t at = 0; status.ok() && at < beginning.size(); at += kPieceBytes) {
    status = (*compressor)->Append(beginning.substr(at, kPieceBytes), compare);
  }
  if (status.ok()) status = (*compressor)->Settle(compare);
  return right && (status.ok() || absl::IsCancelled(status));
}

absl::Status Recompressor::StartAttempts() {
  if (candidates_.size() > kMostAttempts) candidates_.resize(kMostAttempts);
  for (const Candidate& candidate : candidates_) {
    ASSIGN_OR_RETURN(auto attempt, Attempt::Start(candidate, &*original_));
    if (attempt != nullptr) attempts_.push_back(std::move(attempt));
  }
  return absl::OkStatus();
}

absl::Status Recompressor::StartAnew() {
  ASSIGN_OR_RETURN(anew_, GzipWriter::Open());
  return absl::OkStatus();
}

// Of a tar that has ended before anything was sifted.
absl::StatusOr<std::optional<Recompressor::Result>> Recompressor::TryWhole() {
  for (const Candidate& candidate : candidates_) {
    ASSIGN_OR_RETURN(const auto attempt, Attempt::Start(candidate, &*original_));
    if (attempt == nullptr) continue;
    ASSIGN_OR_RETURN(const bool fits, attempt->Append(beginning_));
    if (!fits) continue;
    ASSIGN_OR_RETURN(const bool same, attempt->Finish());
    if (same) return Result{attempt->TakeContent(), original_->digest, true};
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<Recompressor::Result>> Recompressor::Finish() && {
  if (sifting_) {
    ASSIGN_OR_RETURN(auto found, TryWhole());
    if (found.has_value()) return found;
    RETURN_IF_ERROR(StartAnew());
    RETURN_IF_ERROR(anew_->Append(beginning_));
  }
  for (const auto& attempt : attempts_) {
    ASSIGN_OR_RETURN(const bool same, attempt->Finish());
    if (same) return Result{attempt->TakeContent(), original_->digest, true};
  }
  if (anew_ == nullptr && !candidates_.empty()) return std::nullopt;
  if (anew_ == nullptr) RETURN_IF_ERROR(StartAnew());  // the tar is empty
  std::optional<Digest> wanted;
  if (original_.has_value()) wanted = original_->digest;
  ASSIGN_OR_RETURN(GzipWriter::Result result, std::move(*anew_).Finish(wanted));
  return Result{std::move(result.content), result.digest, result.as_wanted};
}

}  // namespace slacker
