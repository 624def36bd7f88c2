// Manifests of whole images while containerd asks for their prefixes, one after the other: each of
// them is in the whole one's, so the store need not be asked again.
//
// What is here says nothing that the whole image's manifest did not say, which was checked when it was
// read: a prefix has the records that are named there, and is for whom the whole image is for. Whether
// those are the layers' records shows when they come. It is forgotten when its top has been asked
// for, or a minute after it came: a pull that was given up does not keep an image on the node.
// Thread-safe.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/base/clock.h"
#include "backend/base/mutex.h"
#include "backend/store/store.h"
#include "snapshotter/images/images.h"

namespace slacker {

class WholeImages {
 public:
  static constexpr std::chrono::seconds kKept{60};
  static constexpr size_t kMaxPulls = 64;

  // `clock` outlives this.
  explicit WholeImages(const Clock* clock) : clock_(clock) {}

  // Whether the store is to be asked for the image of this pull: once in kKept for each, and not while
  // so many are remembered. What layers say that nobody pulls costs no more than these questions.
  bool BeginAsking(const Digest& pull);

  // What `pull` led to. `repository`: for whose readers the manifest was asked for. `pin`: keeps the
  // image meanwhile. False, and nothing is remembered: the pull has ended, or was not begun.
  bool Add(const Digest& pull, StoreReader::GrantedManifest whole, const std::string& repository,
           ImagePin pin);

  // What ReadGrantedManifest would say of a whole image, or of a prefix, for readers of `repository`.
  // None: nothing is known.
  std::optional<StoreReader::GrantedManifest> Find(const Digest& chain_id,
                                                   const std::string& repository);

  // The pull of a whole image is done, whatever is known of it: it may be asked about again.
  void End(const Digest& pull);
  // All that is too old.
  void Expire();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Whole {
    TimePoint since;
    Digest pull;
    StoreReader::GrantedManifest granted;
    std::string repository;
    std::vector<Digest> prefixes;  // the shortest first, without itself
    ImagePin pin;
  };
  struct Place {
    Digest whole;
    size_t layers = 0;
  };
  using Wholes = std::unordered_map<Digest, Whole>;  // by chain ID

  // What they give up goes without the lock.
  Whole Take(Wholes::iterator whole) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<Whole> TakeExpired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock* const clock_;
  Mutex mutex_;
  std::unordered_map<Digest, TimePoint> asked_ ABSL_GUARDED_BY(mutex_);
  Wholes wholes_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<Digest, Place> prefixes_ ABSL_GUARDED_BY(mutex_);  // by chain ID
};

}  // namespace slacker
