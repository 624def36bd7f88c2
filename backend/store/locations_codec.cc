#include "backend/store/locations_codec.h"

#include <utility>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

constexpr std::string_view kLocationsMagic = "SLKL";
constexpr uint32_t kLocationsVersion = 1;
constexpr size_t kLocationsDigestBytes = sizeof(Digest::bytes);
constexpr uint64_t kMaxOffset = uint64_t{1} << 48;
// Bits of a row's first number, above them its stored length.
constexpr uint64_t kFollows = 1;  // begins where the row before it ends
constexpr uint64_t kLocationsCompressed = 2;
constexpr int kLengthShift = 2;
// A number of 64 bits, one of 32 bits, an offset of 48 bits, and its pack's digest.
constexpr uint64_t kMaxRowBytes = 10 + 5 + 7 + kLocationsDigestBytes;
constexpr uint64_t kFixedBytes =
    kLocationsMagic.size() + 3 * sizeof(uint32_t) + 2 * kLocationsDigestBytes;

absl::StatusOr<std::vector<Digest>> DecodePacks(Decoder& in) {
  const uint32_t count = in.U32();
  if (!in.ok() || count > in.remaining() / kLocationsDigestBytes)
    return DataLoss("wrong number of packs");
  std::vector<Digest> packs;
  for (uint32_t i = 0; i < count; ++i) packs.push_back(in.Hash());
  return packs;
}

absl::Status DecodeRows(Decoder& in, size_t chunk_count, Locations* locations) {
  if (chunk_count > in.remaining()) return DataLoss("too few rows");
  locations->chunks.resize(chunk_count);
  uint32_t pack = 0;
  uint64_t end = 0;
  for (ChunkLocation& row : locations->chunks) {
    const uint64_t code = in.Varint();
    const uint64_t length = code >> kLengthShift;
    if ((code & kFollows) == 0) {
      pack = static_cast<uint32_t>(in.VarintUpTo(UINT32_MAX));
      end = in.VarintUpTo(kMaxOffset);
    }
    if (!in.ok() || pack >= locations->packs.size() || length == 0 || length > kMaxChunkSize ||
        end > kMaxOffset) {
      return DataLoss("damaged row");
    }
    row.pack = pack;
    row.offset = end;
    row.stored_bytes = static_cast<uint32_t>(length);
    row.compressed = (code & kLocationsCompressed) != 0;
    end += length;
  }
  return absl::OkStatus();
}

// Up to the number of rows: a decoder of what follows.
absl::StatusOr<Decoder> Open(std::string_view bytes, const Digest& record) {
  if (bytes.size() < kLocationsDigestBytes) return DataLoss("truncated");
  const std::string_view content = bytes.substr(0, bytes.size() - kLocationsDigestBytes);
  if (Sha256::Of(content) != Decoder(bytes.substr(content.size())).Hash()) {
    return DataLoss("damaged");
  }
  Decoder in(content);
  if (in.Raw(kLocationsMagic.size()) != kLocationsMagic) return DataLoss("wrong magic");
  if (const uint32_t version = in.U32(); version != kLocationsVersion) {
    return DataLoss("unknown version " + std::to_string(version));
  }
  if (in.Hash() != record) return DataLoss("of another record");
  return in;
}

absl::StatusOr<Locations> Parse(std::string_view bytes, const Digest& record,
                                std::optional<size_t> chunk_count) {
  ASSIGN_OR_RETURN(Decoder in, Open(bytes, record));
  const uint32_t rows = in.U32();
  if (chunk_count.has_value() && rows != *chunk_count) return DataLoss("wrong number of rows");
  Locations locations;
  ASSIGN_OR_RETURN(const std::vector<Digest> packs, DecodePacks(in));
  for (const Digest& pack : packs) locations.packs.push_back(PackName(pack));
  RETURN_IF_ERROR(DecodeRows(in, rows, &locations));
  if (!in.done()) return DataLoss("bytes after the last row");
  return locations;
}

}  // namespace

uint64_t MaxLocationsBytes(uint64_t chunk_count) {
  return chunk_count > (kMaxLocationsBytes - kFixedBytes) / kMaxRowBytes
             ? kMaxLocationsBytes
             : kFixedBytes + chunk_count * kMaxRowBytes;
}

absl::StatusOr<std::string> EncodeLocations(const Locations& locations, const Digest& record) {
  std::string bytes;
  Encoder out(&bytes);
  out.Raw(kLocationsMagic);
  out.U32(kLocationsVersion);
  out.Hash(record);
  out.U32(static_cast<uint32_t>(locations.chunks.size()));
  out.U32(static_cast<uint32_t>(locations.packs.size()));
  for (const std::string& pack : locations.packs) {
    ASSIGN_OR_RETURN(const Digest id, ParsePackIndexName(pack + ".idx"));
    out.Hash(id);
  }
  const ChunkLocation* previous = nullptr;
  for (const ChunkLocation& row : locations.chunks) {
    const bool follows = previous != nullptr && previous->pack == row.pack &&
                         previous->offset + previous->stored_bytes == row.offset;
    out.Varint(uint64_t{row.stored_bytes} << kLengthShift |
               (row.compressed ? kLocationsCompressed : 0) | (follows ? kFollows : 0));
    if (!follows) {
      out.Varint(row.pack);
      out.Varint(row.offset);
    }
    previous = &row;
  }
  out.Hash(Sha256::Of(bytes));
  return bytes;
}

absl::StatusOr<Locations> DecodeLocations(std::string_view bytes, const Digest& record,
                                          std::optional<size_t> chunk_count) {
  auto locations = Parse(bytes, record, chunk_count);
  if (!locations.ok()) return Annotate(locations.status(), LocationsName(record));
  return locations;
}

absl::StatusOr<std::vector<Digest>> DecodePacksOfLocations(std::string_view bytes,
                                                           const Digest& record) {
  auto in = Open(bytes, record);
  if (!in.ok()) return Annotate(in.status(), LocationsName(record));
  (void)in->U32();  // rows
  auto packs = DecodePacks(*in);
  if (!packs.ok()) return Annotate(packs.status(), LocationsName(record));
  return packs;
}

}  // namespace slacker
