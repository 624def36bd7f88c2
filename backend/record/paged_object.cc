#include "backend/record/paged_object.h"

#include <algorithm>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/codec.h"
#include "backend/base/spill.h"
#include "backend/base/status.h"
#include "backend/record/zstd_codec.h"

namespace slacker {
namespace {

constexpr size_t kRunBytes = 1 << 20;
constexpr uint32_t kCompressed = uint32_t{1} << 31;  // in a page's stored length
// What zstd makes of a page at worst, and more.
constexpr uint32_t kMaxStoredPage = 2 * kPageSize;

uint64_t PagesOf(uint64_t bytes) { return (bytes + kPageSize - 1) / kPageSize; }

struct Header {
  std::string fields;
  std::vector<uint64_t> section_bytes;
  std::vector<Digest> pages;  // of all sections, in order
};

std::string EncodeHeader(const PagedFormat& format, const Header& header) {
  std::string bytes;
  Encoder out(&bytes);
  out.Raw(format.magic);
  out.U32(format.version);
  out.Raw(header.fields);
  for (const uint64_t size : header.section_bytes) out.U64(size);
  for (const Digest& page : header.pages) out.Hash(page);
  return bytes;
}

// What a header can have at most: a digest for each page, and a page more for each section.
uint64_t MaxHeaderBytes(const PagedFormat& format) {
  const uint64_t pages = format.max_content_bytes / kPageSize + format.sections;
  return format.magic.size() + sizeof(uint32_t) + format.fields_bytes +
         format.sections * sizeof(uint64_t) + pages * sizeof(Digest::bytes);
}

}  // namespace

absl::StatusOr<EncodedPagedObject> EncodePagedObject(
    const PagedFormat& format, std::string_view fields,
    const std::vector<const PagedBytes*>& sections) {
  Header header;
  header.fields = fields;
  std::string lengths;
  uint64_t total = 0;
  uint64_t stored_bytes = 0;
  for (const PagedBytes* section : sections) {
    total += section->size();
    if (total > format.max_content_bytes) return ResourceExhausted("layer record too large");
    header.section_bytes.push_back(section->size());
    for (size_t i = 0; i < section->page_count(); ++i) {
      const PagedBytes::Page page = section->StoredPage(i);
      header.pages.push_back(page.digest);
      Encoder(&lengths).U32(static_cast<uint32_t>(page.stored.size()) |
                            (page.compressed ? kCompressed : 0));
      stored_bytes += page.stored.size();
    }
  }
  const std::string header_bytes = EncodeHeader(format, header);
  EncodedPagedObject object;
  object.digest = Sha256::Of(header_bytes);
  Encoder out(&object.head);
  out.U32(static_cast<uint32_t>(header_bytes.size()));
  out.Raw(header_bytes);
  out.Raw(lengths);
  object.sections = sections;
  object.stored_bytes = object.head.size() + stored_bytes;
  return object;
}

absl::Status EncodedPagedObject::Write(
    const std::function<absl::Status(std::string_view)>& sink) const {
  std::string run = head;
  for (const PagedBytes* section : sections) {
    for (size_t i = 0; i < section->page_count(); ++i) {
      if (run.size() >= kRunBytes) {
        RETURN_IF_ERROR(sink(run));
        run.clear();
      }
      run += section->StoredPage(i).stored;
    }
  }
  return sink(run);
}

std::string EncodedPagedObject::ToString() const {
  std::string bytes;
  bytes.reserve(stored_bytes);
  const absl::Status written = Write([&bytes](std::string_view run) {
    bytes += run;
    return absl::OkStatus();
  });
  SLACKER_CHECK(written.ok(), "the sink takes everything");
  return bytes;
}

absl::StatusOr<std::string_view> MemoryBytes::Next(uint64_t size) {
  const std::string_view next = left_.substr(0, size);
  left_.remove_prefix(next.size());
  return next;
}

absl::StatusOr<PagedBytes> PagedContent::KeepSection(size_t section) {
  PagedBytes kept;
  while (kept.size() < section_bytes(section)) RETURN_IF_ERROR(KeepPage(&kept));
  return kept;
}

absl::StatusOr<std::unique_ptr<PagedObjectReader>> PagedObjectReader::Open(
    const PagedFormat& format, const Digest& digest, std::unique_ptr<ObjectBytes> bytes) {
  std::unique_ptr<PagedObjectReader> reader(new PagedObjectReader());
  reader->bytes_ = std::move(bytes);
  ASSIGN_OR_RETURN(const std::string_view length, reader->Take(sizeof(uint32_t), "header"));
  const uint32_t header_bytes = Decoder(length).U32();
  if (header_bytes > MaxHeaderBytes(format)) return DataLoss("header too large");
  ASSIGN_OR_RETURN(const std::string_view header, reader->Take(header_bytes, "header"));
  if (Sha256::Of(header) != digest) return DataLoss("header does not match its digest");
  RETURN_IF_ERROR(reader->ParseHeader(format, header));
  ASSIGN_OR_RETURN(const std::string_view lengths,
                   reader->Take(reader->pages_.size() * sizeof(uint32_t), "page lengths"));
  RETURN_IF_ERROR(reader->ParseLengths(lengths));
  return reader;
}

absl::Status PagedObjectReader::ParseHeader(const PagedFormat& format, std::string_view header) {
  Decoder in(header);
  if (in.Raw(format.magic.size()) != format.magic) return DataLoss("wrong magic");
  const uint32_t version = in.U32();
  if (version != format.version) return DataLoss("unknown version " + std::to_string(version));
  fields_ = in.Raw(format.fields_bytes);
  uint64_t total = 0;
  uint64_t pages = 0;
  for (uint32_t i = 0; i < format.sections; ++i) {
    const uint64_t size = in.U64();
    if (size > format.max_content_bytes - total) return DataLoss("sections too large");
    total += size;
    pages += PagesOf(size);
    section_bytes_.push_back(size);
  }
  if (!in.ok() || in.remaining() != pages * sizeof(Digest::bytes)) {
    return DataLoss("header of the wrong length");
  }
  pages_.reserve(pages);
  for (uint64_t left : section_bytes_) {
    for (; left > 0; left -= pages_.back().size) {
      pages_.push_back({in.Hash(), 0, static_cast<uint32_t>(std::min<uint64_t>(left, kPageSize))});
    }
  }
  return absl::OkStatus();
}

absl::Status PagedObjectReader::ParseLengths(std::string_view lengths) {
  Decoder in(lengths);
  for (Page& page : pages_) {
    page.length = in.U32();
    const uint32_t stored = page.length & ~kCompressed;
    if ((page.length & kCompressed) != 0 ? stored > kMaxStoredPage : stored != page.size) {
      return DataLoss("page of an impossible length");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> PagedObjectReader::Take(uint64_t size, std::string_view what) {
  ASSIGN_OR_RETURN(const std::string_view bytes, bytes_->Next(size));
  if (bytes.size() < size) return DataLoss("truncated " + std::string(what));
  return bytes;
}

absl::StatusOr<std::string_view> PagedObjectReader::TakePage() {
  TrimSpilled();
  SLACKER_CHECK(next_ < pages_.size(), "the caller knows the sections");
  return Take(pages_[next_++].length & ~kCompressed, "pages");
}

absl::Status PagedObjectReader::AppendPage(std::string* out) {
  ASSIGN_OR_RETURN(std::string_view bytes, TakePage());
  const Page& page = pages_[next_ - 1];
  std::string inflated;
  if ((page.length & kCompressed) != 0) {
    RETURN_IF_ERROR(DecompressExactly(bytes, page.size, &inflated));
    bytes = inflated;
  }
  if (Sha256::Of(bytes) != page.digest) return DataLoss("page does not match its digest");
  out->append(bytes);
  return absl::OkStatus();
}

absl::Status PagedObjectReader::KeepPage(PagedBytes* out) {
  ASSIGN_OR_RETURN(const std::string_view bytes, TakePage());
  const Page& page = pages_[next_ - 1];
  return out->AppendStoredPage(bytes, (page.length & kCompressed) != 0, page.size, page.digest);
}

absl::Status PagedObjectReader::Finish() {
  SLACKER_CHECK(next_ == pages_.size(), "the caller knows the sections");
  ASSIGN_OR_RETURN(const std::string_view rest, bytes_->Next(1));
  return rest.empty() ? absl::OkStatus() : DataLoss("bytes after the last page");
}

// As many bytes again as there are: a row that is longer than a page is not read again and again.
absl::Status SectionRows::Load() {
  rows_.erase(0, used_);
  used_ = 0;
  const size_t before = rows_.size();
  do {
    const size_t size = rows_.size();
    RETURN_IF_ERROR(content_->AppendPage(&rows_));
    left_ -= rows_.size() - size;
  } while (left_ > 0 && rows_.size() < 2 * before);
  return absl::OkStatus();
}

}  // namespace slacker
