// The site's servers: a registry, and stores that published images are read from.
//
// Each is a program of others in the servers' namespaces, with its files below the site's directory; it
// ends with them. Made, used and destroyed by one thread; the counters from any.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/hellobench/site/compartment.h"
#include "cmd/hellobench/site/programs.h"
#include "cmd/hellobench/site/snapshotters.h"
#include "cmd/hellobench/site/usage.h"

namespace slacker::hellobench {

// A registry (docker-registry) over plain HTTP at RegistryHost().
class Registry {
 public:
  // `directory` is its own. Returns when it answers.
  static absl::StatusOr<std::unique_ptr<Registry>> Start(Programs& programs,
                                                         const Compartment& servers,
                                                         const std::string& directory);
  ~Registry() = default;

  // To the node of this address, in requests that have ended, since the start.
  absl::StatusOr<Served> ServedTo(std::string_view address) const;
  // The compressed layers of an image that is there. NOT_FOUND; DATA_LOSS: no manifest.
  struct Size {
    int64_t bytes = 0, layers = 0;
  };
  absl::StatusOr<Size> SizeOf(const std::string& repository, const std::string& tag) const;
  const std::string& storage() const { return storage_; }

 private:
  std::string storage_, log_;
  std::unique_ptr<Daemon> daemon_;
};

// Where published images lie: a server, below which each snapshotter has a store of its own, so that
// none finds what another has published.
class Store {
 public:
  virtual ~Store() = default;
  // {store}, {publish_store}, {store_directory}, and {store_ca} of one that has it. The directory is
  // there afterwards.
  virtual absl::StatusOr<Placeholders> PlaceholdersFor(const std::string& snapshotter) const = 0;
  virtual const std::string& directory() const = 0;  // of all of them
  // As Registry's; NOT_FOUND of one that does not count.
  virtual absl::StatusOr<Served> ServedTo(std::string_view address) const = 0;
};

// `kind` is "loopback", "nfs" or "https"; INVALID_ARGUMENT for others. Returns when it answers.
absl::StatusOr<std::unique_ptr<Store>> StartStore(Programs& programs, const Compartment& servers,
                                                  const std::string& kind,
                                                  const std::string& directory);

}  // namespace slacker::hellobench
