// The container that layer records and their tar parts have in common: sections of bytes, cut into
// pages that can be fetched and verified one by one. Bytes: docs/formats.md, "Paged objects".
//
// The *header* holds some fields, the length of each section and the SHA-256 of each page. It
// depends on the content alone, and its own SHA-256 is the object's digest: two builds with
// different versions of zstd give objects of different bytes and one digest.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/record/paged_bytes.h"

namespace slacker {

struct PagedFormat {
  std::string_view magic;  // four bytes
  uint32_t version = 0;
  uint32_t fields_bytes = 0;
  uint32_t sections = 0;
  uint64_t max_content_bytes = 0;  // of all sections together, uncompressed
};

struct EncodedPagedObject {
  Digest digest;
  std::string stored;
};

struct PagedObject {
  std::string fields;
  std::vector<PagedBytes> sections;
};

// REQUIRES: fields and sections are as `format` says. RESOURCE_EXHAUSTED: more content than the
// format allows. Thread-safe.
absl::StatusOr<EncodedPagedObject> EncodePagedObject(
    const PagedFormat& format, std::string_view fields,
    const std::vector<const PagedBytes*>& sections);

// DATA_LOSS unless `stored` is a whole object of this format with this digest. Memory grows only
// with content whose digest has been checked, and by no more than the stored bytes and a page.
// Thread-safe.
absl::StatusOr<PagedObject> DecodePagedObject(const PagedFormat& format, std::string_view stored,
                                              const Digest& digest);

}  // namespace slacker
