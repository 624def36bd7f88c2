// Many bytes in little memory: a byte string that grows at its end and is read from its beginning.
// It is kept in pages of kPageSize bytes (the last one shorter), each with its digest and
// compressed, as paged objects (backend/record/paged_object.h) have them; only the page that still
// grows is plain. Raw headers of a tar take about a twentieth of their size; what is more than 8 MiB
// spills (backend/base/spill.h).
//
// Thread-compatible: any number of readers while nobody appends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "backend/base/digest.h"
#include "backend/base/spill.h"

namespace slacker {

inline constexpr uint32_t kPageSize = 64 * 1024;

class PagedBytes {
 public:
  struct Page {
    Digest digest;  // of the uncompressed bytes
    bool compressed = false;
    std::string stored;
  };

  PagedBytes() = default;
  explicit PagedBytes(std::string_view bytes) { Append(bytes); }

  void Append(std::string_view bytes);
  // The next page, as it was stored. DATA_LOSS, with nothing changed, unless it yields exactly `size`
  // bytes with this digest. REQUIRES: whole pages so far; 0 < size <= kPageSize.
  absl::Status AppendStoredPage(std::string_view stored, bool compressed, size_t size,
                                const Digest& digest);

  uint64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t page_count() const { return pages_.size() + (open_.empty() ? 0 : 1); }
  // The page as it is to be stored; the last one is compressed anew by each call. REQUIRES: index <
  // page_count().
  Page StoredPage(size_t index) const;
  // All bytes at once.
  std::string ToString() const;

 private:
  friend class PagedBytesReader;
  struct FullPage {
    Digest digest;
    bool compressed = false;
    uint64_t end = 0;  // in stored_; it begins where the one before ends
  };

  void Keep(const Digest& digest, bool compressed, std::string_view stored);
  std::string_view StoredBytesOf(size_t index) const;
  void AppendPage(size_t index, std::string* out) const;  // uncompressed

  uint64_t size_ = 0;
  std::vector<FullPage> pages_;
  TableVector<char> stored_;
  std::string open_;  // less than a page
};

bool operator==(const PagedBytes& a, const PagedBytes& b);

// Reads from the beginning, one page at a time in memory. The bytes must outlive it unchanged.
// Thread-compatible.
class PagedBytesReader {
 public:
  explicit PagedBytesReader(const PagedBytes& bytes) : bytes_(bytes) {}
  // At least one byte and at most `max`; empty at the end, or when `max` is 0. Valid until the next
  // call.
  std::string_view Next(uint64_t max);

 private:
  const PagedBytes& bytes_;
  size_t next_page_ = 0;
  std::string page_;
  size_t used_ = 0;  // of page_
};

}  // namespace slacker
