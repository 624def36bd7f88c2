#include <algorithm>
#include <atomic>
#include <functional>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/record/layer_codec.h"
#include "backend/store/known_chunks.h"
#include "backend/store/known_layers.h"
#include "backend/store/locations_codec.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/object_stream.h"
#include "backend/store/pack_writer.h"
#include "backend/store/references.h"
#include "backend/store/rescue.h"
#include "backend/store/reserve.h"
#include "backend/store/store.h"

namespace slacker {
namespace {

constexpr size_t kMaxRepositoryBytes = 1024;
constexpr int kMaxMoves = 8;

// Without a key of its own a publisher believes what is there: its manifests prove nothing either.
Trust WhomToBelieve(const StoreWriter::Options& options) {
  Trust trust{.keys = options.trusted_keys};
  if (options.key.has_value()) trust.keys.push_back(options.key->public_key());
  return trust;
}

// Of something that was there: another attempt writes it again.
absl::Status Lost(const std::string& name, const absl::Status& why) {
  return Aborted(name + " has been removed, or damaged: " + Message(why));
}

class Writer final : public StoreWriter {
 public:
  Writer(std::shared_ptr<Backend> backend, const Options& options,
         absl::flat_hash_set<std::string> condemned)
      : options_(options),
        backend_(std::move(backend)),
        reader_(backend_, WhomToBelieve(options)),
        known_(backend_.get(), std::move(condemned)),
        known_layers_(backend_.get(), &reader_, &known_),
        intent_(std::in_place, backend_.get()),
        packs_(backend_.get(), &known_, options) {}

  absl::StatusOr<std::optional<KnownLayer>> FindRecord(const Digest& chain_id,
                                                       const std::string& repository,
                                                       const Digest& diff_id) override {
    return known_layers_.Find(chain_id, repository, diff_id);
  }
  absl::StatusOr<bool> HasLayer(const ManifestLayer& layer) override {
    ASSIGN_OR_RETURN(const auto totals, known_layers_.Check(layer));
    return totals.has_value();
  }
  absl::Status AddChunk(const Digest& digest, std::string_view content) override {
    return packs_.Add(digest, content);
  }
  absl::StatusOr<Digest> AddLayer(const LayerTables& layer) override;
  void EndLayers() override {
    packs_.End();
    known_.Forget();
  }
  absl::Status CommitManifests(const std::vector<ManifestLayer>& layers, const Platform& platform,
                               const ImageEntry& image, const std::string& repository) override;
  uint64_t stored_bytes() const override { return packs_.stored_bytes() + other_bytes_; }

 private:
  // Writes an object that others may replace, unless it has this content.
  absl::Status ReplaceIfDifferent(const std::string& name, const std::string& content);
  // Writes an immutable object. One that is there and does not verify is replaced: it is of no use
  // to anybody.
  absl::Status PutOrRepair(const std::string& name, const EncodedPagedObject& object,
                           const std::function<absl::Status()>& verify);
  absl::Status Put(const std::string& name, const EncodedPagedObject& object);
  absl::Status WriteRecord(const EncodedLayer& encoded);
  absl::Status WriteManifest(const Manifest& manifest);
  absl::Status WriteGrant(const Grant& grant);
  // Keeps maintenance from removing a layer that is about to be written, and what its locations lead to.
  absl::Status DeclareLayer(const Digest& record, const Locations& locations);
  // Keeps maintenance from removing what the manifests are going to lead to (references.h).
  absl::Status DeclareImage(const std::vector<ManifestLayer>& layers);
  // What the locations of a record lead to now; ABORTED when they have gone.
  absl::StatusOr<std::vector<Digest>> PacksOf(const Digest& record);
  // Writes locations that lead into none of the `gone` packs, which may become more.
  absl::Status MoveLayer(const Digest& record, std::set<Digest>* gone);

  const Options options_;
  const std::shared_ptr<Backend> backend_;
  const StoreReader reader_;
  KnownChunks known_;
  const KnownLayers known_layers_;
  std::optional<Intent> intent_;  // until the image is there
  PackWriter packs_;
  std::atomic<uint64_t> other_bytes_ = 0;  // progress displays read it on other threads
};

absl::Status Writer::PutOrRepair(const std::string& name, const EncodedPagedObject& object,
                                 const std::function<absl::Status()>& verify) {
  absl::Status present = backend_->Stat(name).status();
  if (present.ok()) present = verify();
  if (present.ok()) return absl::OkStatus();
  if (absl::IsNotFound(present)) {
    RETURN_IF_ERROR(Put(name, object));
  } else if (absl::IsDataLoss(present)) {
    RETURN_IF_ERROR(backend_->Replace(name, object.ToString()));
  } else {
    return present;
  }
  other_bytes_ += object.stored_bytes;
  return absl::OkStatus();
}

absl::Status Writer::Put(const std::string& name, const EncodedPagedObject& object) {
  ASSIGN_OR_RETURN(const auto writer, backend_->Create(name));
  RETURN_IF_ERROR(object.Write([&](std::string_view run) { return writer->Append(run); }));
  return writer->Commit();
}

absl::Status Writer::WriteRecord(const EncodedLayer& encoded) {
  const Digest& record = encoded.record.digest;
  const auto open = [this](const std::string& name) {
    return std::make_unique<ObjectStream>(backend_.get(), name, nullptr);
  };
  RETURN_IF_ERROR(PutOrRepair(RecordName(record), encoded.record,
                              [&] { return CheckRecord(open(RecordName(record)), record); }));
  SLACKER_FAILPOINT("publish.after_record");
  RETURN_IF_ERROR(PutOrRepair(TarName(record), encoded.tar, [&] {
    return CheckTarPart(open(TarName(record)), encoded.tar.digest);
  }));
  SLACKER_FAILPOINT("publish.after_tar");
  return absl::OkStatus();
}

absl::StatusOr<Digest> Writer::AddLayer(const LayerTables& layer) {
  RETURN_IF_ERROR(packs_.Flush());
  ASSIGN_OR_RETURN(Locations locations, packs_.Locate(layer.digests));
  ASSIGN_OR_RETURN(const EncodedLayer encoded, EncodeLayer(layer));
  const Digest record = encoded.record.digest;
  absl::Status reliable = DeclareLayer(record, locations);
  // Each time fewer packs are left that maintenance could take.
  for (int moves = 0; absl::IsAborted(reliable) && moves < kMaxMoves; ++moves) {
    RETURN_IF_ERROR(
        RescueChunks(*backend_, intent_->gone(), layer.digests, locations, &known_, &packs_));
    ASSIGN_OR_RETURN(locations, packs_.Locate(layer.digests));
    reliable = DeclareLayer(record, locations);
  }
  RETURN_IF_ERROR(reliable);
  RETURN_IF_ERROR(WriteRecord(encoded));
  ASSIGN_OR_RETURN(const std::string bytes, EncodeLocations(locations, record));
  RETURN_IF_ERROR(ReplaceIfDifferent(LocationsName(record), bytes));
  SLACKER_FAILPOINT("publish.after_locations");
  return record;
}

absl::Status Writer::ReplaceIfDifferent(const std::string& name, const std::string& content) {
  // Looked at first: a read alone may be of what somebody has just replaced, or removed.
  const auto info = backend_->Stat(name);
  if (info.ok() && info->size_bytes == content.size()) {
    const auto present = backend_->ReadWhole(name, content.size());
    if (present.ok() && *present == content) return absl::OkStatus();
  }
  RETURN_IF_ERROR(backend_->Replace(name, content));
  other_bytes_ += content.size();
  return absl::OkStatus();
}

absl::Status Writer::DeclareLayer(const Digest& record, const Locations& locations) {
  StoreReferences relied_on{.chains = {}, .records = {record}, .packs = {}};
  for (const std::string& pack : locations.packs) {
    ASSIGN_OR_RETURN(const Digest id, ParsePackName(pack));
    relied_on.packs.insert(id);
  }
  RETURN_IF_ERROR(intent_->Declare(relied_on));
  return intent_->CheckPacks();
}

absl::StatusOr<std::vector<Digest>> Writer::PacksOf(const Digest& record) {
  const std::string name = LocationsName(record);
  const auto bytes = backend_->ReadWhole(name, kMaxLocationsBytes);
  const auto packs = bytes.ok() ? DecodePacksOfLocations(*bytes, record) : bytes.status();
  return absl::IsNotFound(packs.status()) || absl::IsDataLoss(packs.status())
             ? Lost(name, packs.status())
             : packs;
}

absl::Status Writer::MoveLayer(const Digest& record, std::set<Digest>* gone) {
  PackWriter packs(backend_.get(), &known_, options_);
  absl::Status reliable;
  Locations locations;
  for (int moves = 0; moves < kMaxMoves; ++moves) {
    auto rescued = RescueLayer(reader_, *backend_, record, *gone, &known_, &packs);
    if (absl::IsNotFound(rescued.status()) || absl::IsDataLoss(rescued.status())) {
      return Lost(RecordName(record), rescued.status());
    }
    RETURN_IF_ERROR(rescued.status());
    locations = *std::move(rescued);
    reliable = DeclareLayer(record, locations);
    if (!absl::IsAborted(reliable)) break;
    gone->insert(intent_->gone().begin(), intent_->gone().end());
  }
  other_bytes_ += packs.stored_bytes();
  RETURN_IF_ERROR(reliable);
  ASSIGN_OR_RETURN(const std::string bytes, EncodeLocations(locations, record));
  return ReplaceIfDifferent(LocationsName(record), bytes);
}

absl::Status Writer::DeclareImage(const std::vector<ManifestLayer>& layers) {
  std::set<Digest> gone;
  for (int moves = 0;; ++moves) {
    StoreReferences relied_on;
    std::vector<Digest> diff_ids;
    for (const ManifestLayer& layer : layers) {
      diff_ids.push_back(layer.diff_id);
      relied_on.chains.insert(ChainId(diff_ids));
      relied_on.records.insert(layer.record);
      // As they are now: compaction may have moved chunks since they were looked at.
      ASSIGN_OR_RETURN(auto packs, PacksOf(layer.record));
      const auto is_gone = [&gone](const Digest& pack) { return gone.contains(pack); };
      if (const auto lost = std::find_if(packs.begin(), packs.end(), is_gone);
          lost != packs.end()) {
        // Compaction replaces locations before it condemns a pack; nobody else has moved the chunks.
        if (moves > kMaxMoves) {
          return Aborted("maintenance of the store is removing " + PackName(*lost));
        }
        RETURN_IF_ERROR(MoveLayer(layer.record, &gone));
        ASSIGN_OR_RETURN(packs, PacksOf(layer.record));
      }
      relied_on.packs.insert(packs.begin(), packs.end());
    }
    RETURN_IF_ERROR(intent_->Declare(relied_on));
    const absl::Status reliable = intent_->Check();
    if (!absl::IsAborted(reliable) || intent_->gone().empty()) return reliable;
    gone.insert(intent_->gone().begin(), intent_->gone().end());
  }
}

absl::Status Writer::WriteGrant(const Grant& grant) {
  RETURN_IF_ERROR(ReplaceIfDifferent(GrantName(grant, std::nullopt), EncodeGrant(grant, nullptr)));
  if (!options_.key.has_value()) return absl::OkStatus();
  return ReplaceIfDifferent(GrantName(grant, options_.key->public_key().id()),
                            EncodeGrant(grant, &*options_.key));
}

// The unsigned one first: a node that finds it alone can say what is missing.
absl::Status Writer::WriteManifest(const Manifest& manifest) {
  RETURN_IF_ERROR(ReplaceIfDifferent(ManifestName(manifest.chain_id, std::nullopt),
                                     EncodeManifest(manifest, nullptr)));
  if (!options_.key.has_value()) return absl::OkStatus();
  SLACKER_FAILPOINT("publish.before_signed_manifest");
  return ReplaceIfDifferent(ManifestName(manifest.chain_id, options_.key->public_key().id()),
                            EncodeManifest(manifest, &*options_.key));
}

absl::Status Writer::CommitManifests(const std::vector<ManifestLayer>& layers,
                                     const Platform& platform, const ImageEntry& image,
                                     const std::string& repository) {
  if (layers.empty() || layers.size() > kMaxLayers) {
    return InvalidArgument("image with " + std::to_string(layers.size()) + " layers");
  }
  if (repository.size() > kMaxRepositoryBytes) return InvalidArgument("repository name too long");
  if (image.name.size() + image.config_json.size() > kMaxImageEntryBytes / 2) {
    return InvalidArgument("image configuration too large");
  }
  if (image.manifest_json.size() > kMaxImageEntryBytes / 4) {
    return InvalidArgument("image manifest too large");
  }
  RETURN_IF_ERROR(DeclareImage(layers));
  std::vector<Digest> diff_ids;
  Manifest manifest;
  manifest.platform = platform;
  for (const ManifestLayer& layer : layers) {
    diff_ids.push_back(layer.diff_id);
    manifest.layers.push_back(layer);
    manifest.chain_id = ChainId(diff_ids);
    // The grant first: what can be found is complete.
    RETURN_IF_ERROR(WriteGrant({manifest.chain_id, repository}));
    RETURN_IF_ERROR(WriteManifest(manifest));
    SLACKER_FAILPOINT("publish.after_manifest");
    RETURN_IF_ERROR(
        ReplaceIfDifferent(LayerChainName(layer.diff_id, {manifest.chain_id, repository}), ""));
    SLACKER_FAILPOINT("publish.after_layer_chain");
  }
  ImageEntry entry = image;
  entry.platform = platform;
  entry.chain_id = manifest.chain_id;
  RETURN_IF_ERROR(ReplaceIfDifferent(ImageName(image.name, platform), EncodeImageEntry(entry)));
  SLACKER_FAILPOINT("publish.after_image");
  intent_.reset();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<StoreWriter>> StoreWriter::Open(std::shared_ptr<Backend> backend,
                                                               const Options& options) {
  ASSIGN_OR_RETURN(auto condemned, CondemnedNames(*backend));
  if (!condemned.contains(std::string(kReserveName))) RETURN_IF_ERROR(KeepReserve(*backend));
  return std::make_unique<Writer>(std::move(backend), options, std::move(condemned));
}

}  // namespace slacker
