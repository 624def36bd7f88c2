#include "backend/publish/layer_verifier.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/status.h"
#include "backend/layer/record_of_tar.h"
#include "backend/record/stated_digest.h"
#include "backend/store/layer_content.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/object_stream.h"
#include "backend/store/store.h"

namespace slacker {

bool IsDamage(const absl::Status& status) {
  return status.code() == absl::StatusCode::kDataLoss ||
         status.code() == absl::StatusCode::kNotFound ||
         status.code() == absl::StatusCode::kInvalidArgument ||
         status.code() == absl::StatusCode::kResourceExhausted;
}

absl::Status LayerVerifier::CheckChain(const Digest& chain_id) {
  const absl::StatusOr<Manifest> manifest = reader_.ReadManifest(chain_id);
  RETURN_IF_ERROR(manifest.status());
  RETURN_IF_ERROR(CheckManifest(*manifest));
  for (const Digest& prefix : PrefixChains(*manifest)) {
    if (prefix == chain_id) break;
    const absl::Status sound = reader_.ReadManifest(prefix).status();
    if (absl::IsFailedPrecondition(sound)) continue;  // untrusted is not damaged
    RETURN_IF_ERROR(Note(ManifestName(prefix, std::nullopt), sound));
  }
  return absl::OkStatus();
}

absl::Status LayerVerifier::CheckManifest(const Manifest& manifest) {
  ++report_.manifests;
  for (const ManifestLayer& layer : manifest.layers) {
    if (!checked_.insert(layer.record).second) continue;
    ++report_.layers;
    RETURN_IF_ERROR(CheckLayer(layer));
  }
  return absl::OkStatus();
}

absl::Status LayerVerifier::CheckLooseRecord(const Digest& record) {
  if (!checked_.insert(record).second) return absl::OkStatus();
  ++report_.loose_records;
  absl::StatusOr<DecodedRecord> decoded = reader_.ReadLayer(record);
  if (!decoded.ok()) return Note(RecordName(record), decoded.status());
  with_parts_.insert(record);
  decoded->layer.DropTree();
  absl::StatusOr<TarPartReader> tar = reader_.OpenTarPart(record, *decoded);
  const absl::Status read = tar.ok() ? tar->Finish() : tar.status();
  if (!absl::IsNotFound(read)) RETURN_IF_ERROR(Note(TarName(record), read));
  const absl::Status locations =
      reader_.ReadLocations(record, decoded->layer.chunks.size()).status();
  return absl::IsNotFound(locations) ? absl::OkStatus() : Note(LocationsName(record), locations);
}

absl::Status LayerVerifier::CheckLooseTar(const Digest& record) {
  if (with_parts_.contains(record)) return absl::OkStatus();
  ++report_.loose_parts;
  const auto open = [&] {
    return std::make_unique<ObjectStream>(&reader_.backend(), TarName(record), nullptr);
  };
  const auto stated = StatedDigest(*open());
  const absl::Status sound = stated.ok() ? CheckTarPart(open(), *stated) : stated.status();
  return absl::IsNotFound(sound) ? absl::OkStatus() : sound;
}

absl::Status LayerVerifier::CheckLooseLocations(const Digest& record) {
  if (with_parts_.contains(record)) return absl::OkStatus();
  ++report_.loose_parts;
  const absl::Status sound = reader_.ReadLocations(record, std::nullopt).status();
  return absl::IsNotFound(sound) ? absl::OkStatus() : sound;
}

absl::Status LayerVerifier::Note(const std::string& object, const absl::Status& status) {
  if (status.ok() || !IsDamage(status)) return status;
  report_.damages.push_back({object, Message(status)});
  return absl::OkStatus();
}

absl::Status LayerVerifier::CheckLayer(const ManifestLayer& expected) {
  absl::StatusOr<DecodedRecord> record = reader_.ReadLayer(expected.record);
  if (!record.ok()) return Note(RecordName(expected.record), record.status());
  Layer& layer = record->layer;
  if (layer.diff_id != expected.diff_id) {
    return Note(RecordName(expected.record),
                DataLoss("it is the record of another layer, " + layer.diff_id.ToString()));
  }
  with_parts_.insert(expected.record);
  layer.DropTree();  // it is sound; what remains to be looked at is content
  absl::StatusOr<TarPartReader> tar = reader_.OpenTarPart(expected.record, *record);
  RETURN_IF_ERROR(Note(TarName(expected.record), tar.status()));
  absl::StatusOr<Locations> locations = reader_.ReadLocations(expected.record, layer.chunks.size());
  if (!locations.ok()) return Note(LocationsName(expected.record), locations.status());
  return CheckContent(expected.record, layer, tar.ok() ? &*tar : nullptr, *std::move(locations));
}

absl::Status LayerVerifier::CheckContent(const Digest& record, const Layer& layer,
                                         TarPartReader* tar, Locations locations) {
  const std::string name = record.ToHex();
  const auto chunk_count = static_cast<uint32_t>(layer.chunks.size());
  LayerContent chunks(&reader_, record, &layer, std::move(locations), chunk_count);
  std::vector<bool> seen(chunk_count);
  uint64_t bad_chunks = 0;
  // A damaged chunk is reported and stood in for, so that those behind it are looked at too.
  auto look = [&](uint32_t index) -> absl::StatusOr<std::string> {
    const bool first_look = !seen[index];
    seen[index] = true;
    const absl::StatusOr<std::string>& content = chunks.Get(index);
    const Chunk& chunk = layer.chunks[index];
    if (first_look) {
      ++report_.chunks;
      report_.content_bytes += chunk.size_bytes;
      if (read_) read_(chunk.size_bytes);
    }
    if (content.ok()) return *content;
    ++bad_chunks;
    if (!first_look && IsDamage(content.status())) return std::string(chunk.size_bytes, '\0');
    RETURN_IF_ERROR(
        Note("chunk " + chunk.digest.ToString() + " of records/" + name, content.status()));
    return std::string(chunk.size_bytes, '\0');
  };
  if (tar != nullptr) RETURN_IF_ERROR(CheckTar(name, layer, *tar, look, &bad_chunks));
  for (uint32_t i = 0; i < chunk_count; ++i) {
    if (!seen[i]) RETURN_IF_ERROR(look(i).status());
  }
  return absl::OkStatus();
}

absl::Status LayerVerifier::CheckTar(const std::string& name, const Layer& layer,
                                     TarPartReader& tar, const ChunkReader& look,
                                     const uint64_t* bad_chunks) {
  ASSIGN_OR_RETURN(const auto record, RecordOfTar::Start(layer.chunk_size));
  const absl::StatusOr<Digest> rebuilt = RebuildTar(layer, tar, look, [&](std::string_view bytes) {
    record->Write(bytes);
    return absl::OkStatus();
  });
  if (!rebuilt.ok()) return Note("tars/" + name, rebuilt.status());
  if (*bad_chunks > 0) return absl::OkStatus();
  if (*rebuilt != layer.diff_id) {
    return Note("tars/" + name,
                DataLoss("the tar that it gives back has the digest " + rebuilt->ToString() +
                         " instead of " + layer.diff_id.ToString()));
  }
  const absl::StatusOr<Digest> of_tar = record->Finish();
  if (of_tar.ok() && of_tar->ToHex() == name) return absl::OkStatus();
  return Note("records/" + name,
              DataLoss("it does not say what the layer's tar says" +
                       (of_tar.ok() ? ": that gives records/" + of_tar->ToHex()
                                    : ", which is no layer: " + Message(of_tar.status()))));
}

}  // namespace slacker
