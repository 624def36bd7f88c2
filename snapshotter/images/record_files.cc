#include "snapshotter/images/record_files.h"

#include <unistd.h>

#include <limits>
#include <utility>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "snapshotter/images/node_files.h"

namespace slacker {
namespace {

constexpr uint64_t kMaxRecordFileBytes = 1ULL << 30;
constexpr uint64_t kMaxLocationsBytes = 1ULL << 30;
constexpr std::string_view kMagic("SLKLOC1\0", 8);
constexpr std::string_view kLocationsSuffix = ".loc";
constexpr size_t kDigestBytes = 32;
constexpr size_t kPackBytes = 2;       // at least, per pack
constexpr size_t kLocationBytes = 17;  // exactly, per chunk

std::string Encode(const Locations& locations) {
  std::string out;
  Encoder encoder(&out);
  encoder.Raw(kMagic);
  encoder.U32(static_cast<uint32_t>(locations.packs.size()));
  for (const std::string& pack : locations.packs) {
    encoder.U16(static_cast<uint16_t>(pack.size()));
    encoder.Raw(pack);
  }
  encoder.U32(static_cast<uint32_t>(locations.chunks.size()));
  for (const ChunkLocation& chunk : locations.chunks) {
    encoder.U32(chunk.pack);
    encoder.U64(chunk.offset);
    encoder.U32(chunk.stored_bytes);
    encoder.U8(chunk.compressed ? 1 : 0);
  }
  encoder.Hash(Sha256::Of(out));
  return out;
}

absl::StatusOr<Locations> Decode(std::string_view bytes, size_t chunk_count) {
  if (bytes.size() < kMagic.size() + kDigestBytes || !bytes.starts_with(kMagic)) {
    return DataLoss("not a table of locations");
  }
  const std::string_view body = bytes.substr(0, bytes.size() - kDigestBytes);
  if (AsText(Sha256::Of(body).bytes) != bytes.substr(body.size())) {
    return DataLoss("a table of locations fails its checksum");
  }
  Decoder decoder(body.substr(kMagic.size()));
  Locations locations;
  const uint32_t packs = decoder.U32();
  if (packs > decoder.remaining() / kPackBytes) return DataLoss("too many packs");
  for (uint32_t i = 0; i < packs; ++i) locations.packs.emplace_back(decoder.Raw(decoder.U16()));
  const uint32_t chunks = decoder.U32();
  if (!decoder.ok() || chunks != chunk_count ||
      decoder.remaining() != size_t{chunks} * kLocationBytes) {
    return DataLoss("a table of locations of another length");
  }
  locations.chunks.resize(chunks);
  for (ChunkLocation& chunk : locations.chunks) {
    chunk.pack = decoder.U32();
    chunk.offset = decoder.U64();
    chunk.stored_bytes = decoder.U32();
    chunk.compressed = decoder.U8() != 0;
    if (chunk.pack >= packs) return DataLoss("a location names a pack that is not there");
  }
  return locations;
}

}  // namespace

absl::StatusOr<Layer> RecordFiles::Load(const Digest& record) const {
  ASSIGN_OR_RETURN(const std::string stored, ReadSmallFile(PathOf(record), kMaxRecordFileBytes));
  auto layer = DecodeRecordObject(stored, record);
  if (!layer.ok()) return Annotate(layer.status(), PathOf(record));
  return layer;
}

bool RecordFiles::Has(const Digest& record) const {
  return access(PathOf(record).c_str(), R_OK) == 0;
}

absl::Status RecordFiles::Save(const Digest& record, std::string_view stored) {
  MutexLock lock(&writing_);
  return WriteFileAtomically(PathOf(record), stored);
}

absl::Status RecordFiles::Sync() const { return SyncDirectory(directory_); }

absl::StatusOr<Locations> RecordFiles::LoadLocations(const Digest& record,
                                                     size_t chunk_count) const {
  const std::string path = PathOf(record) + std::string(kLocationsSuffix);
  ASSIGN_OR_RETURN(const std::string bytes, ReadSmallFile(path, kMaxLocationsBytes));
  auto locations = Decode(bytes, chunk_count);
  if (!locations.ok()) return Annotate(locations.status(), path);
  return locations;
}

absl::Status RecordFiles::SaveLocations(const Digest& record, const Locations& locations) {
  for (const std::string& pack : locations.packs) {
    if (pack.size() > std::numeric_limits<uint16_t>::max()) return DataLoss("a pack's name");
  }
  MutexLock lock(&writing_);
  return WriteFileAtomically(PathOf(record) + std::string(kLocationsSuffix), Encode(locations));
}

absl::Status RecordFiles::RemoveAllBut(const std::set<Digest>& keep) {
  MutexLock lock(&writing_);
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(directory_));
  for (const std::string& name : names) {
    std::string_view stem = name;
    if (stem.ends_with(kLocationsSuffix)) stem.remove_suffix(kLocationsSuffix.size());
    const auto record = Digest::FromHex(stem);
    if (record.ok() && keep.contains(*record)) continue;
    RETURN_IF_ERROR(RemoveFile(directory_ + "/" + name));
  }
  return absl::OkStatus();
}

}  // namespace slacker
