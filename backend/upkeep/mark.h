// What of a store is in use: image entries, intents of publications under way and leases of nodes
// lead to chains, these to manifests, records, locations and packs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"
#include "backend/upkeep/objects.h"

namespace slacker {

// A lease that was not renewed for so long is that of a node that is gone.
inline constexpr int64_t kLeaseSeconds = 30 * kDaySeconds;

struct Marks {
  absl::flat_hash_set<Digest> chains;         // of images and intents, with their prefixes
  absl::flat_hash_set<Digest> leased_chains;  // that nodes have, with their prefixes
  absl::flat_hash_set<Digest> records;
  absl::flat_hash_set<Digest> packs;
  // Records of published images, in the order in which these are read: images by name, layers from
  // the bottom; each once.
  std::vector<Digest> record_order;
  // Leases and intents that count, but cannot be read: nobody can tell what they keep.
  std::vector<std::string> unreadable;

  // Whether the object is in use. True for kinds that have no references: these have rules of
  // their own.
  bool Has(const ObjectId& object) const;
  // The same, but for objects of chains that only leases name.
  bool IsPublished(const ObjectId& object) const;
  // The same two, as far as anybody can tell while there is something unreadable.
  bool MayNeed(const ObjectId& object) const { return Has(object) || !unreadable.empty(); }
  bool MayPublish(const ObjectId& object) const {
    return IsPublished(object) || HasUnreadableIntent();
  }
  bool HasUnreadableIntent() const;
};

struct MarkOptions {
  int64_t now = 0;    // by the store's clock: leases that are older than kLeaseSeconds do not count
  bool packs = true;  // false: not as far as to the packs
  // Image entries without a manifest, and damaged objects, are passed over.
  bool lenient = false;
};

// DATA_LOSS, with the object's name, when something else on the way is damaged or missing: then nobody
// can tell what is in use, and nothing may be removed. Memory: 50 bytes for each chain, record and
// pack; reads locations one by one.
absl::StatusOr<Marks> Mark(Backend& backend, const MarkOptions& options);

// The manifest object, whoever signed it. DATA_LOSS, NOT_FOUND.
absl::StatusOr<Manifest> ReadAnyManifest(Backend& backend, const std::string& name);

}  // namespace slacker
