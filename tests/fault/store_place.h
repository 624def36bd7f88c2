// Where the stores of a test are, and how slackerctl gets at them.
#pragma once

#include <optional>
#include <string>

#include "tests/support/nfs_server.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {

enum class Way { kLoopback, kNfs3, kNfs4 };

inline std::string NameOf(Way way) {
  return way == Way::kLoopback ? "Loopback" : way == Way::kNfs3 ? "Nfs3" : "Nfs4";
}

// Directories on this machine's disk; on the ways over NFS a server exports them. Make it before any
// thread (nfs_server.h).
class StorePlace {
 public:
  explicit StorePlace(Way way) : way_(way) {
    if (way != Way::kLoopback) server_.emplace(directory_.path());
  }

  std::string Directory(const std::string& store) const {
    return server_ ? server_->export_directory() + "/" + store : directory_ / store;
  }
  std::string Url(const std::string& store) const {
    if (!server_) return "loopback:" + Directory(store);
    return NfsServer::Url(way_ == Way::kNfs3 ? 3 : 4, "/" + store);
  }

 private:
  const TempDir directory_;
  const Way way_;
  std::optional<NfsServer> server_;
};

}  // namespace slacker::testing
