#include "backend/record/paged_object.h"

#include <algorithm>

#include "backend/base/codec.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr uint32_t kCompressed = uint32_t{1} << 31;  // in a page's stored length

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

absl::StatusOr<Header> DecodeHeader(const PagedFormat& format, std::string_view bytes) {
  Decoder in(bytes);
  if (in.Raw(format.magic.size()) != format.magic) return DataLoss("wrong magic");
  const uint32_t version = in.U32();
  if (version != format.version) return DataLoss("unknown version " + std::to_string(version));
  Header header;
  header.fields = in.Raw(format.fields_bytes);
  uint64_t total = 0;
  uint64_t pages = 0;
  for (uint32_t i = 0; i < format.sections; ++i) {
    const uint64_t size = in.U64();
    if (size > format.max_content_bytes - total) return DataLoss("sections too large");
    total += size;
    pages += PagesOf(size);
    header.section_bytes.push_back(size);
  }
  if (!in.ok() || in.remaining() != pages * sizeof(Digest::bytes)) {
    return DataLoss("header of the wrong length");
  }
  header.pages.reserve(pages);
  for (uint64_t i = 0; i < pages; ++i) header.pages.push_back(in.Hash());
  return header;
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
  // Reserved to the byte: a large object must not be in memory twice while it grows.
  object.stored.reserve(4 + header_bytes.size() + lengths.size() + stored_bytes);
  Encoder out(&object.stored);
  out.U32(static_cast<uint32_t>(header_bytes.size()));
  out.Raw(header_bytes);
  out.Raw(lengths);
  for (const PagedBytes* section : sections) {
    for (size_t i = 0; i < section->page_count(); ++i) out.Raw(section->StoredPage(i).stored);
  }
  return object;
}

absl::StatusOr<PagedObject> DecodePagedObject(const PagedFormat& format, std::string_view stored,
                                              const Digest& digest) {
  Decoder in(stored);
  const std::string_view header_bytes = in.Raw(in.U32());
  if (!in.ok()) return DataLoss("truncated header");
  if (Sha256::Of(header_bytes) != digest) return DataLoss("header does not match its digest");
  ASSIGN_OR_RETURN(Header header, DecodeHeader(format, header_bytes));
  Decoder lengths(in.Raw(header.pages.size() * sizeof(uint32_t)));
  PagedObject object;
  object.fields = std::move(header.fields);
  size_t page = 0;
  for (const uint64_t section_bytes : header.section_bytes) {
    PagedBytes& section = object.sections.emplace_back();
    for (uint64_t left = section_bytes; left > 0; ++page) {
      const uint32_t length = lengths.U32();
      const size_t size = std::min<uint64_t>(left, kPageSize);
      const std::string_view bytes = in.Raw(length & ~kCompressed);
      if (!in.ok()) return DataLoss("truncated pages");
      RETURN_IF_ERROR(
          section.AppendStoredPage(bytes, (length & kCompressed) != 0, size, header.pages[page]));
      left -= size;
    }
  }
  if (!in.done() || !lengths.done()) return DataLoss("bytes after the last page");
  return object;
}

}  // namespace slacker
