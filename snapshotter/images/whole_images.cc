#include "snapshotter/images/whole_images.h"

#include <array>
#include <utility>

namespace slacker {
namespace {

std::vector<Digest> PrefixesOf(const std::vector<ManifestLayer>& layers) {
  std::vector<Digest> prefixes;
  for (const ManifestLayer& layer : layers) {
    // What a chain ID is made of is the one below and the layer.
    prefixes.push_back(prefixes.empty() ? layer.diff_id
                                        : ChainId(std::array{prefixes.back(), layer.diff_id}));
  }
  if (!prefixes.empty()) prefixes.pop_back();  // itself
  return prefixes;
}

}  // namespace

WholeImages::Whole WholeImages::Take(Wholes::iterator whole) {
  for (const Digest& prefix : whole->second.prefixes) {
    const auto place = prefixes_.find(prefix);
    // Another whole image may have the same prefix, and have come later.
    if (place != prefixes_.end() && place->second.whole == whole->first) prefixes_.erase(place);
  }
  Whole taken = std::move(whole->second);
  wholes_.erase(whole);
  return taken;
}

std::vector<WholeImages::Whole> WholeImages::TakeExpired() {
  const TimePoint limit = clock_->Monotonic() - kKept;
  std::vector<Whole> expired;
  for (auto next = wholes_.begin(); next != wholes_.end();) {
    const auto here = next++;
    if (here->second.since <= limit) expired.push_back(Take(here));
  }
  std::erase_if(asked_, [limit](const auto& asked) { return asked.second <= limit; });
  return expired;
}

bool WholeImages::BeginAsking(const Digest& pull) {
  std::vector<Whole> expired;
  MutexLock lock(&mutex_);
  expired = TakeExpired();
  return asked_.size() < kMaxPulls && asked_.emplace(pull, clock_->Monotonic()).second;
}

bool WholeImages::Add(const Digest& pull, StoreReader::GrantedManifest whole,
                      const std::string& repository, ImagePin pin) {
  Whole added{clock_->Monotonic(), pull, std::move(whole), repository, {}, std::move(pin)};
  const Digest chain_id = added.granted.manifest.chain_id;
  added.prefixes = PrefixesOf(added.granted.manifest.layers);
  MutexLock lock(&mutex_);
  if (!asked_.contains(pull)) return false;
  for (size_t i = 0; i < added.prefixes.size(); ++i) {
    prefixes_[added.prefixes[i]] = {chain_id, i + 1};
  }
  std::swap(wholes_[chain_id], added);  // the pin of one before ends without the lock
  return true;
}

std::optional<StoreReader::GrantedManifest> WholeImages::Find(const Digest& chain_id,
                                                              const std::string& repository) {
  std::vector<Whole> expired;
  MutexLock lock(&mutex_);
  expired = TakeExpired();
  // What is itself a whole is not told by a larger one that stands on it.
  Place place{chain_id, 0};
  if (!wholes_.contains(chain_id)) {
    const auto below = prefixes_.find(chain_id);
    if (below == prefixes_.end()) return std::nullopt;
    place = below->second;
  }
  const Whole& whole = wholes_.at(place.whole);
  if (!whole.granted.to_anybody && (repository.empty() || repository != whole.repository)) {
    return std::nullopt;
  }
  StoreReader::GrantedManifest found = whole.granted;
  if (place.whole == chain_id) return found;
  found.manifest.chain_id = chain_id;
  found.manifest.layers.resize(place.layers);
  return found;
}

void WholeImages::End(const Digest& pull) {
  std::vector<Whole> ended;
  MutexLock lock(&mutex_);
  asked_.erase(pull);
  for (auto next = wholes_.begin(); next != wholes_.end();) {
    const auto here = next++;
    if (here->second.pull == pull) ended.push_back(Take(here));
  }
}

void WholeImages::Expire() {
  std::vector<Whole> expired;
  MutexLock lock(&mutex_);
  expired = TakeExpired();
}

}  // namespace slacker
