#include "backend/export/gzip_writer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr int kUsualLevel = 6;
constexpr size_t kSystemPlace = 9;

// RFC 1952: no name, no time, compressed neither fastest nor best.
std::string HeaderOf(uint8_t system) {
  std::string header("\x1f\x8b\x08\0\0\0\0\0\0", kSystemPlace);
  header += static_cast<char>(system);
  return header;
}

}  // namespace

GzipWriter::GzipWriter(Spool content)
    : deflate_(OpenDeflate("", kUsualLevel, DeflateStyle::kPlain)), content_(std::move(content)) {}

absl::StatusOr<std::unique_ptr<GzipWriter>> GzipWriter::Open() {
  ASSIGN_OR_RETURN(Spool content, Spool::Open());
  std::unique_ptr<GzipWriter> writer(new GzipWriter(std::move(content)));
  for (size_t i = 0; i < kSystems.size(); ++i) writer->hashes_[i].Update(HeaderOf(kSystems[i]));
  RETURN_IF_ERROR(writer->content_.Append(HeaderOf(kSystems[0])));
  return writer;
}

absl::Status GzipWriter::Put(std::string_view bytes) {
  for (Sha256& hash : hashes_) hash.Update(bytes);
  return content_.Append(bytes);
}

absl::Status GzipWriter::Append(std::string_view bytes) { return deflate_->Append(bytes, sink_); }

absl::StatusOr<GzipWriter::Result> GzipWriter::Finish(const std::optional<Digest>& wanted) && {
  RETURN_IF_ERROR(deflate_->Finish(sink_));
  std::array<Digest, kSystems.size()> digests;
  for (size_t i = 0; i < kSystems.size(); ++i) digests[i] = hashes_[i].Finish();
  size_t chosen = 0;
  bool as_wanted = false;
  if (wanted.has_value()) {
    const auto found = std::find(digests.begin(), digests.end(), *wanted);
    as_wanted = found != digests.end();
    if (as_wanted) chosen = static_cast<size_t>(found - digests.begin());
  }
  const char system = static_cast<char>(kSystems[chosen]);
  RETURN_IF_ERROR(content_.Overwrite(kSystemPlace, {&system, 1}));
  return Result{std::move(content_), digests[chosen], as_wanted};
}

}  // namespace slacker
