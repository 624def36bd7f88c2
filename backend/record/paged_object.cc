#include "backend/record/paged_object.h"

#include <algorithm>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/record/zstd_codec.h"

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

// Appends the page to `section` if its content has the digest that the header names.
absl::Status DecodePage(std::string_view stored, bool compressed, size_t size, const Digest& digest,
                        std::string* section) {
  std::string page;
  if (compressed) {
    RETURN_IF_ERROR(DecompressExactly(stored, size, &page));
    stored = page;
  }
  if (stored.size() != size) return DataLoss("page of the wrong length");
  if (Sha256::Of(stored) != digest) return DataLoss("page does not match its digest");
  section->append(stored);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EncodedPagedObject> EncodePagedObject(
    const PagedFormat& format, std::string_view fields,
    const std::vector<std::string_view>& sections) {
  Header header;
  header.fields = fields;
  std::string lengths;
  std::string pages;
  uint64_t total = 0;
  for (const std::string_view section : sections) {
    total += section.size();
    if (total > format.max_content_bytes) return ResourceExhausted("layer record too large");
    header.section_bytes.push_back(section.size());
    for (size_t at = 0; at < section.size(); at += kPageSize) {
      const std::string_view page = section.substr(at, kPageSize);
      header.pages.push_back(Sha256::Of(page));
      const size_t start = pages.size();
      const bool compressed = CompressOrStore(page, kDefaultZstdLevel, &pages);
      const auto stored_bytes = static_cast<uint32_t>(pages.size() - start);
      Encoder(&lengths).U32(stored_bytes | (compressed ? kCompressed : 0));
    }
  }
  const std::string header_bytes = EncodeHeader(format, header);
  EncodedPagedObject object;
  object.digest = Sha256::Of(header_bytes);
  object.stored.reserve(4 + header_bytes.size() + lengths.size() + pages.size());
  Encoder out(&object.stored);
  out.U32(static_cast<uint32_t>(header_bytes.size()));
  out.Raw(header_bytes);
  out.Raw(lengths);
  out.Raw(pages);
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
    std::string& section = object.sections.emplace_back();
    for (uint64_t left = section_bytes; left > 0; ++page) {
      const uint32_t length = lengths.U32();
      const size_t size = std::min<uint64_t>(left, kPageSize);
      const std::string_view bytes = in.Raw(length & ~kCompressed);
      if (!in.ok()) return DataLoss("truncated pages");
      RETURN_IF_ERROR(
          DecodePage(bytes, (length & kCompressed) != 0, size, header.pages[page], &section));
      left -= size;
    }
  }
  if (!in.done() || !lengths.done()) return DataLoss("bytes after the last page");
  return object;
}

}  // namespace slacker
