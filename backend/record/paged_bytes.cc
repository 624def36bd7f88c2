#include "backend/record/paged_bytes.h"

#include <algorithm>

#include "backend/base/check.h"
#include "backend/base/status.h"
#include "backend/record/zstd_codec.h"

namespace slacker {
namespace {

PagedBytes::Page Compress(std::string_view bytes) {
  PagedBytes::Page page;
  page.digest = Sha256::Of(bytes);
  page.compressed = CompressOrStore(bytes, kDefaultZstdLevel, &page.stored);
  return page;
}

}  // namespace

void PagedBytes::Append(std::string_view bytes) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    const size_t taken = std::min<size_t>(kPageSize - open_.size(), bytes.size());
    open_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    if (open_.size() < kPageSize) continue;
    const Page page = Compress(open_);
    Keep(page.digest, page.compressed, page.stored);
    open_.clear();
  }
}

absl::Status PagedBytes::AppendStoredPage(std::string_view stored, bool compressed, size_t size,
                                          const Digest& digest) {
  SLACKER_CHECK(open_.empty() && size > 0 && size <= kPageSize, "pages are whole but the last");
  std::string inflated;
  std::string_view bytes = stored;
  if (compressed) {
    RETURN_IF_ERROR(DecompressExactly(stored, size, &inflated));
    bytes = inflated;
  }
  if (bytes.size() != size) return DataLoss("page of the wrong length");
  if (Sha256::Of(bytes) != digest) return DataLoss("page does not match its digest");
  size_ += size;
  if (size < kPageSize) {
    open_ = bytes;
  } else {
    Keep(digest, compressed, stored);
  }
  return absl::OkStatus();
}

PagedBytes::Page PagedBytes::StoredPage(size_t index) const {
  if (index >= pages_.size()) return Compress(open_);
  TrimSpilled();
  const FullPage& page = pages_[index];
  return {page.digest, page.compressed, std::string(StoredBytesOf(index))};
}

void PagedBytes::Keep(const Digest& digest, bool compressed, std::string_view stored) {
  TrimSpilled();
  GrowFor(&stored_, stored.size());
  stored_.insert(stored_.end(), stored.begin(), stored.end());
  pages_.push_back({digest, compressed, stored_.size()});
}

std::string_view PagedBytes::StoredBytesOf(size_t index) const {
  const uint64_t begin = index == 0 ? 0 : pages_[index - 1].end;
  return {stored_.data() + begin, pages_[index].end - begin};
}

std::string PagedBytes::ToString() const {
  std::string bytes;
  bytes.reserve(size_);
  for (size_t i = 0; i < page_count(); ++i) AppendPage(i, &bytes);
  return bytes;
}

void PagedBytes::AppendPage(size_t index, std::string* out) const {
  if (index >= pages_.size()) {
    out->append(open_);
    return;
  }
  TrimSpilled();
  const std::string_view stored = StoredBytesOf(index);
  if (!pages_[index].compressed) {
    out->append(stored);
    return;
  }
  std::string inflated;
  SLACKER_CHECK(DecompressExactly(stored, kPageSize, &inflated).ok(),
                "pages are verified when they are appended");
  out->append(inflated);
}

bool operator==(const PagedBytes& a, const PagedBytes& b) {
  return a.size() == b.size() && a.ToString() == b.ToString();
}

std::string_view PagedBytesReader::Next(uint64_t max) {
  if (used_ == page_.size() && next_page_ < bytes_.page_count()) {
    page_.clear();
    used_ = 0;
    bytes_.AppendPage(next_page_++, &page_);
  }
  const size_t taken = std::min<uint64_t>(max, page_.size() - used_);
  used_ += taken;
  return std::string_view(page_).substr(used_ - taken, taken);
}

}  // namespace slacker
