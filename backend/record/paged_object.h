// The container that layer records and their tar parts have in common: sections of bytes, cut into
// pages that can be fetched and verified one by one. Bytes: docs/formats.md, "Paged objects".
//
// The *header* holds some fields, the length of each section and the SHA-256 of each page. It
// depends on the content alone, and its own SHA-256 is the object's digest: two builds with
// different versions of zstd give objects of different bytes and one digest.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/codec.h"
#include "backend/base/digest.h"
#include "backend/base/status.h"
#include "backend/record/paged_bytes.h"

namespace slacker {

struct PagedFormat {
  std::string_view magic;  // four bytes
  uint32_t version = 0;
  uint32_t fields_bytes = 0;
  uint32_t sections = 0;
  uint64_t max_content_bytes = 0;  // of all sections together, uncompressed
};

// An object ready to be stored. Its pages stay where they are: the sections must outlive it.
struct EncodedPagedObject {
  Digest digest;
  std::string head;  // everything before the pages
  std::vector<const PagedBytes*> sections;
  uint64_t stored_bytes = 0;

  // Hands the bytes over in order, in runs of some pages. Answers the first error of `sink`.
  absl::Status Write(const std::function<absl::Status(std::string_view)>& sink) const;
  // All of them at once.
  std::string ToString() const;
};

// REQUIRES: fields and sections are as `format` says. RESOURCE_EXHAUSTED: more content than the
// format allows. Thread-safe.
absl::StatusOr<EncodedPagedObject> EncodePagedObject(
    const PagedFormat& format, std::string_view fields,
    const std::vector<const PagedBytes*>& sections);

// The bytes of a stored object, wherever they come from, from the first to the last.
class ObjectBytes {
 public:
  virtual ~ObjectBytes() = default;
  // The next `size` bytes; fewer only where the object ends. Valid until the next call.
  virtual absl::StatusOr<std::string_view> Next(uint64_t size) = 0;
};

// An object in memory, which must outlive it.
class MemoryBytes final : public ObjectBytes {
 public:
  explicit MemoryBytes(std::string_view bytes) : left_(bytes) {}
  absl::StatusOr<std::string_view> Next(uint64_t size) override;

 private:
  std::string_view left_;
};

// What decoders see of an object: its fields, and the pages of its sections in their order.
class PagedContent {
 public:
  virtual ~PagedContent() = default;
  virtual std::string_view fields() const = 0;
  virtual uint64_t section_bytes(size_t section) const = 0;
  // Reads the next page, of kPageSize bytes or what is left of its section, and appends it.
  // REQUIRES: there is one.
  virtual absl::Status AppendPage(std::string* out) = 0;
  virtual absl::Status KeepPage(PagedBytes* out) = 0;

  // The next section, whole, as it is stored.
  absl::StatusOr<PagedBytes> KeepSection(size_t section);
};

// Reads an object once, page by page. Every page is checked against its digest before it is handed
// over. Memory: the header (at most 2 MiB) and a page. Thread-compatible.
class PagedObjectReader final : public PagedContent {
 public:
  // DATA_LOSS unless it begins with a header of this format and digest; or what `bytes` answers.
  static absl::StatusOr<std::unique_ptr<PagedObjectReader>> Open(
      const PagedFormat& format, const Digest& digest, std::unique_ptr<ObjectBytes> bytes);

  std::string_view fields() const override { return fields_; }
  uint64_t section_bytes(size_t section) const override { return section_bytes_[section]; }
  // DATA_LOSS when the page is cut short or does not have its digest.
  absl::Status AppendPage(std::string* out) override;
  absl::Status KeepPage(PagedBytes* out) override;
  // DATA_LOSS unless all pages have been read and nothing follows.
  absl::Status Finish();

 private:
  struct Page {
    Digest digest;
    uint32_t length = 0;  // stored; with the bit for compressed
    uint32_t size = 0;
  };

  PagedObjectReader() = default;
  absl::Status ParseHeader(const PagedFormat& format, std::string_view header);
  absl::Status ParseLengths(std::string_view lengths);
  // Exactly so many bytes.
  absl::StatusOr<std::string_view> Take(uint64_t size, std::string_view what);
  absl::StatusOr<std::string_view> TakePage();

  std::unique_ptr<ObjectBytes> bytes_;
  std::string fields_;
  std::vector<uint64_t> section_bytes_;
  std::vector<Page> pages_;  // of all sections, in order
  size_t next_ = 0;          // in pages_
};

// The rows of a section, which lie across its pages. Thread-compatible.
class SectionRows {
 public:
  // The section is the next one of `content`, which must outlive it.
  SectionRows(PagedContent* content, size_t section)
      : content_(content), left_(content->section_bytes(section)) {}

  // Reads one row with `decode` (Decoder& -> bool), which is called again, for the same row, when
  // it ran out of bytes and there are more. False: the row is damaged.
  template <typename Decode>
  absl::StatusOr<bool> Next(Decode&& decode) {
    for (;;) {
      Decoder in(std::string_view(rows_).substr(used_));
      if (decode(in)) {
        used_ = rows_.size() - in.remaining();
        return true;
      }
      if (left_ == 0) return false;
      RETURN_IF_ERROR(Load());
    }
  }
  // Whether all bytes of the section were used.
  bool done() const { return left_ == 0 && used_ == rows_.size(); }

 private:
  absl::Status Load();

  PagedContent* const content_;
  uint64_t left_;  // of the section, not in rows_ yet
  std::string rows_;
  size_t used_ = 0;
};

}  // namespace slacker
