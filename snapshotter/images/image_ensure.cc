// How an image becomes present: manifest, records, transaction.
#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "backend/base/failpoint.h"
#include "backend/base/log.h"
#include "backend/base/status.h"
#include "snapshotter/images/image_manager.h"

namespace slacker {
namespace {

constexpr size_t kMaxLayers = 4096;
bool StandsOn(const Manifest& whole, const Manifest& prefix) {
  const auto same = [](const ManifestLayer& a, const ManifestLayer& b) {
    return a.diff_id == b.diff_id;
  };
  return prefix.layers.size() < whole.layers.size() &&
         std::equal(prefix.layers.begin(), prefix.layers.end(), whole.layers.begin(), same);
}

absl::Status CheckManifest(const Manifest& manifest, const Digest& chain_id) {
  if (manifest.layers.empty() || manifest.layers.size() > kMaxLayers) {
    return DataLoss("manifest with an impossible number of layers");
  }
  std::vector<Digest> diff_ids;
  for (const ManifestLayer& layer : manifest.layers) diff_ids.push_back(layer.diff_id);
  if (manifest.chain_id != chain_id || ChainId(diff_ids) != chain_id) {
    return DataLoss("manifest of another chain");
  }
  return absl::OkStatus();
}

absl::StatusOr<StoreReader::GrantedManifest> StandingOn(
    const Manifest& prefix, absl::StatusOr<StoreReader::GrantedManifest> granted,
    const Digest& whole) {
  RETURN_IF_ERROR(granted.status());
  RETURN_IF_ERROR(CheckManifest(granted->manifest, whole));
  if (StandsOn(granted->manifest, prefix)) return granted;
  return DataLoss("the image entry leads to another image");
}

}  // namespace

struct ImageManager::Flight {
  explicit Flight(bool for_its_caller) : counts(for_its_caller) {}

  const bool counts;  // not only in advance
  bool done = false;  // guarded by ImageManager::mutex_, like the status
  absl::Status status;
};

struct ImageManager::RecordsHeld {
  RecordsHeld(References* references, std::vector<Digest> records)
      : references_(references), records_(std::move(records)) {
    references_->HoldRecords(records_);
  }
  ~RecordsHeld() { references_->ReleaseRecords(records_); }
  RecordsHeld(const RecordsHeld&) = delete;
  RecordsHeld& operator=(const RecordsHeld&) = delete;

 private:
  References* const references_;
  const std::vector<Digest> records_;
};

absl::StatusOr<ImagePin> ImageManager::Ensure(const Digest& chain_id, const Labels& labels) {
  const PullHints hints = ReadPullHints(labels);
  ImagePin pin = Pinned(chain_id);
  RETURN_IF_ERROR(Annotate(MakePresent(chain_id, hints, gateway_.Deadline()), chain_id.ToString()));
  if (hints.says_not_top) {
    builds_->CallOff(chain_id);
    boots_->Cancel(chain_id);
  } else {
    builds_->Schedule(chain_id);
    StreamBootPack(chain_id);
    if (const auto pull = hints.PullId()) wholes_.End(*pull);  // it has all that it asks for
  }
  AskInAdvance(*locating_, [this, chain_id] { FetchLocations(chain_id); });
  return pin;
}

absl::Status ImageManager::CheckAllowed(const Digest& chain_id, const Labels& labels) {
  return Annotate(Allow(chain_id, RepositoryOf(ReadPullHints(labels)), gateway_.Deadline()),
                  chain_id.ToString());
}

std::string ImageManager::RepositoryOf(const PullHints& hints) const {
  return options_.private_by_cri_annotations ? hints.repository : "";
}

absl::Status ImageManager::Allow(const Digest& chain_id, const std::string& repository,
                                 StoreGateway::TimePoint deadline) {
  {
    ASSIGN_OR_RETURN(Txn txn, options_.db->Read());
    ASSIGN_OR_RETURN(const bool anybody, IsForAnybody(txn, chain_id));
    if (anybody) return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const auto granted,
                   gateway_.ReadGrantedManifest(chain_id, repository, deadline));
  if (!granted.to_anybody) return absl::OkStatus();
  // It came for the readers of some repository, or it was granted since: nobody need ask any more.
  ASSIGN_OR_RETURN(Txn txn, options_.db->Write());
  RETURN_IF_ERROR(SetForAnybody(txn, chain_id));
  return txn.Commit();
}

absl::Status ImageManager::MakePresent(const Digest& chain_id, const PullHints& hints,
                                       StoreGateway::TimePoint deadline) {
  ASSIGN_OR_RETURN(const std::unique_ptr<KnownImage> image, FindKnown(chain_id));
  if (image != nullptr) {
    RETURN_IF_ERROR(Allow(chain_id, RepositoryOf(hints), deadline));
    return Once(chain_id, deadline, [&] { return BringImage(*image, deadline); });
  }
  const std::string repository = RepositoryOf(hints);
  absl::Status status = DataLoss("not known");
  if (const auto known = wholes_.Find(chain_id, repository); known.has_value()) {
    status = BringGranted(*known, deadline);
  }
  // What the whole image's manifest says of its records has been checked only now.
  if (absl::IsDataLoss(status)) status = AskForImage(chain_id, repository, hints, deadline);
  if (!status.ok()) boots_->GiveUp(chain_id);
  return status;
}

// Whether this caller may have it is asked for each; the rest is done once for all of them.
absl::Status ImageManager::AskForImage(const Digest& chain_id, const std::string& repository,
                                       const PullHints& hints, StoreGateway::TimePoint deadline) {
  const auto asked = options_.clock->Monotonic();
  const std::optional<Digest> pull = hints.PullId();
  if (!hints.says_not_top || !pull.has_value() || !gateway_.WouldAsk() ||
      !wholes_.BeginAsking(*pull)) {
    // Asked for together with the manifest: it may save the round trip for the records.
    if (!hints.says_not_top && gateway_.WouldAsk()) boots_->Begin(chain_id);
    ASSIGN_OR_RETURN(const auto granted,
                     gateway_.ReadGrantedManifest(chain_id, repository, deadline));
    RETURN_IF_ERROR(CheckManifest(granted.manifest, chain_id));
    return BringGranted(granted, deadline);
  }
  ASSIGN_OR_RETURN(auto found, gateway_.ReadManifestAndNamed(
                                   chain_id, repository, hints.NameInStore(),
                                   *hints.manifest_digest, options_.platform, deadline));
  RETURN_IF_ERROR(CheckManifest(found.granted.manifest, chain_id));
  if (found.named.has_value()) {
    // Enough is left for the layer itself if the store goes on as it began.
    const auto now = options_.clock->Monotonic();
    const auto whole_until = std::min(now + (deadline - now) / 2, deadline - 2 * (now - asked));
    FollowName(*std::move(found.named), found.granted.manifest, repository, *pull, whole_until);
  }
  return BringGranted(found.granted, deadline);
}

void ImageManager::FollowName(StoreGateway::NamedImage named, const Manifest& prefix,
                              const std::string& repository, const Digest& pull,
                              StoreGateway::TimePoint deadline) {
  // Shared: std::function wants what can be copied.
  auto image = std::make_shared<StoreGateway::NamedImage>(std::move(named));
  AskInAdvance(*bringing_, [=, this, image = std::move(image)] {
    const Digest& whole = image->entry.chain_id;
    // Until this is done, and another one until the pull is.
    const std::optional<ImagePin> pin = TryPinned(whole);
    if (pin.has_value() && options_.clock->Monotonic() < deadline) {
      const bool boot_begun = boots_->Begin(whole);
      const auto granted = StandingOn(prefix, image->manifest.Take(deadline), whole);
      absl::Status status = granted.status();
      if (status.ok()) {
        status = wholes_.Add(pull, *granted, repository, Pinned(whole))
                     ? BringWhole(*granted, deadline)
                     : Cancelled("its pull has ended");
      }
      if (!status.ok()) {
        Log(LogLevel::kDebug, "an image does not come with its first layer",
            {{"image", image->entry.name}, {"error", Message(status)}});
        // Another pull's goes on.
        if (boot_begun) boots_->GiveUp(whole);
      }
    }
  });
}

absl::Status ImageManager::BringWhole(const StoreReader::GrantedManifest& granted,
                                      StoreGateway::TimePoint deadline) {
  RETURN_IF_ERROR(BringGranted(granted, StoreGateway::Limit::InAdvance(deadline)));
  builds_->Schedule(granted.manifest.chain_id, true);
  StreamBootPack(granted.manifest.chain_id);
  return absl::OkStatus();
}

absl::Status ImageManager::BringGranted(const StoreReader::GrantedManifest& granted,
                                        const StoreGateway::Limit& limit) {
  return Once(granted.manifest.chain_id, limit, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::unique_ptr<KnownImage> added, FindKnown(granted.manifest.chain_id));
    if (added != nullptr) return BringImage(*added, limit);
    return AddImage(granted.manifest, granted.to_anybody, limit);
  });
}

// In the background, for an image that is in the database.
void ImageManager::StreamBootPack(const Digest& chain_id) {
  const auto image = FindKnown(chain_id);
  if (!image.ok() || *image == nullptr || !gateway_.WouldAsk()) return;
  boots_->Begin(chain_id);
  boots_->Place(chain_id, (*image)->layers);
}

absl::Status ImageManager::Once(const Digest& chain_id, const StoreGateway::Limit& limit,
                                const std::function<absl::Status()>& make) {
  std::shared_ptr<Flight> flight;
  {
    MutexLock lock(&mutex_);
    for (auto found = flights_.find(chain_id); found != flights_.end();
         found = flights_.find(chain_id)) {
      flight = found->second;
      while (!flight->done) {
        const auto left = limit.until - options_.clock->Monotonic();
        if (left <= left.zero())
          return DeadlineExceeded("another call is still bringing the image");
        (void)changed_.WaitFor(&mutex_, std::min<std::chrono::nanoseconds>(left, kSlice));
      }
      const bool had_less_time = absl::IsDeadlineExceeded(flight->status);
      const bool counts = flight->status.ok() || (flight->counts && !had_less_time);
      if (counts || options_.clock->Monotonic() >= limit.until) return flight->status;
    }
    flight = std::make_shared<Flight>(limit.counts);
    flights_.emplace(chain_id, flight);
  }
  absl::Status status = Internal("the call that brought the image has thrown an exception");
  {
    // An exception, too, ends the flight for those who wait for it.
    const absl::Cleanup land = [&] {
      MutexLock lock(&mutex_);
      flight->done = true;
      flight->status = status;
      flights_.erase(chain_id);
      changed_.SignalAll();
    };
    status = make();
  }
  return status;
}

absl::Status ImageManager::BringImage(const KnownImage& image, const StoreGateway::Limit& limit) {
  std::vector<Digest> records;
  for (const BlobRow& layer : image.layers) records.push_back(layer.record);
  ASSIGN_OR_RETURN(const std::vector<RecordFacts> facts,
                   BringRecords(image.row.chain_id, records, limit));
  CallOffParent(facts);
  return absl::OkStatus();
}

// The chain right below is not the top of this pull. `layers`: anything with their diff IDs.
template <typename Layers>
void ImageManager::CallOffParent(const Layers& layers) {
  if (layers.size() < 2) return;
  std::vector<Digest> diff_ids;
  diff_ids.reserve(layers.size());
  for (const auto& layer : layers) diff_ids.push_back(layer.diff_id);
  diff_ids.pop_back();
  const Digest parent = ChainId(diff_ids);
  builds_->CallOff(parent);
  boots_->Cancel(parent);
}

absl::Status ImageManager::AddImage(const Manifest& manifest, bool to_anybody,
                                    const StoreGateway::Limit& limit) {
  CallOffParent(manifest.layers);
  std::vector<Digest> records;
  for (const ManifestLayer& layer : manifest.layers) records.push_back(layer.record);
  const RecordsHeld held(references_.get(), records);
  ASSIGN_OR_RETURN(const std::vector<RecordFacts> facts,
                   BringRecords(manifest.chain_id, records, limit));
  std::vector<NewLayer> layers;
  for (size_t i = 0; i < facts.size(); ++i) {
    if (facts[i].diff_id != manifest.layers[i].diff_id) {
      return DataLoss("manifest names the record of another layer");
    }
    layers.push_back({records[i], facts[i].blob_size_bytes});
  }
  SLACKER_FAILPOINT("ensure.before_commit");
  ASSIGN_OR_RETURN(Txn txn, options_.db->Write());
  RETURN_IF_ERROR(InsertImage(txn, manifest.chain_id, layers, to_anybody).status());
  RETURN_IF_ERROR(txn.Commit());
  SLACKER_FAILPOINT("ensure.after_commit");
  return absl::OkStatus();
}

absl::Status ImageManager::AskForChunks(const Digest& record, size_t chunks) {
  return gateway_.ReadLocations(record, chunks, gateway_.Deadline()).status();
}

// In advance, so that a first read after a restart needs no round trip for them. A store that does
// not answer now is asked by the filler when the time comes.
void ImageManager::FetchLocations(const Digest& chain_id) {
  const auto image = FindKnown(chain_id);
  if (!image.ok() || *image == nullptr || (*image)->layers.empty()) return;
  const BlobRow& top = (*image)->layers.back();
  RecordFacts facts;
  if (top.size_bytes == 0 || !VerifyKept(top.record, &facts)) return;
  if (records_.LoadLocations(top.record, facts.chunks).ok()) return;
  const auto limit = StoreGateway::Limit::InAdvance(gateway_.Deadline());
  const auto locations = gateway_.ReadLocations(top.record, facts.chunks, limit);
  if (locations.ok()) (void)records_.SaveLocations(top.record, *locations);
}

}  // namespace slacker
