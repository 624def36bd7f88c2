#include "snapshotter/files/record_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <memory>
#include <utility>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "backend/record/layer_codec.h"
#include "snapshotter/files/node_files.h"

namespace slacker {
namespace {

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

// A record's file, read as its pages are asked for.
class FileBytes final : public ObjectBytes {
 public:
  static absl::StatusOr<std::unique_ptr<ObjectBytes>> Open(const std::string& path) {
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid() && errno == ENOENT) return NotFound("there is no " + path);
    if (!fd.valid()) return ErrnoError(errno, "open " + path);
    return std::unique_ptr<ObjectBytes>(new FileBytes(std::move(fd), path));
  }

  absl::StatusOr<std::string_view> Next(uint64_t size) override {
    while (here_.size() - used_ < size) {
      here_.erase(0, used_);
      used_ = 0;
      const size_t had = here_.size();
      here_.resize(had + kStepBytes);
      const ssize_t got = read(fd_.get(), here_.data() + had, kStepBytes);
      here_.resize(had + static_cast<size_t>(std::max<ssize_t>(got, 0)));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoError(errno, "read " + path_);
      if (got == 0) break;
    }
    const std::string_view next = std::string_view(here_).substr(used_, size);
    used_ += next.size();
    return next;
  }

 private:
  static constexpr size_t kStepBytes = 256 << 10;

  FileBytes(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  const UniqueFd fd_;
  const std::string path_;
  std::string here_;
  size_t used_ = 0;  // of here_
};

}  // namespace

absl::StatusOr<Layer> RecordFiles::Load(const Digest& record) const {
  const std::string path = PathOf(record);
  ASSIGN_OR_RETURN(auto bytes, FileBytes::Open(path));
  auto decoded = DecodeRecord(std::move(bytes), record);
  if (!decoded.ok()) return Annotate(decoded.status(), path);
  return std::move(decoded->layer);
}

bool RecordFiles::Has(const Digest& record) const {
  return access(PathOf(record).c_str(), R_OK) == 0;
}

absl::Status RecordFiles::Save(const Digest& record, std::string_view stored) {
  MutexLock lock(&writing_);
  unsynced_ = true;
  return WriteFileAtomically(PathOf(record), stored);
}

absl::Status RecordFiles::Sync() {
  MutexLock lock(&writing_);
  if (!unsynced_) return absl::OkStatus();
  RETURN_IF_ERROR(SyncDirectory(directory_));
  unsynced_ = false;
  return absl::OkStatus();
}

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
    std::string_view stem = WithoutAside(name);
    const bool whole = stem.size() == name.size();
    if (stem.ends_with(kLocationsSuffix)) stem.remove_suffix(kLocationsSuffix.size());
    const auto record = Digest::FromHex(stem);
    if (!record.ok() || (whole && keep.contains(*record))) continue;
    RETURN_IF_ERROR(RemoveFile(directory_ + "/" + name));
  }
  return absl::OkStatus();
}

}  // namespace slacker
