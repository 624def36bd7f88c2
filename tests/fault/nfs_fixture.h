// A store on a real NFS server, for tests of what happens when the server does not play along.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "backend/nfs/nfs_backend.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/nfs_server.h"
#include "tests/support/pending_reads.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tcp_relay.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {

// Content of any size that tells its name and every offset apart.
inline std::string ContentOf(const std::string& name, size_t size) {
  std::string content;
  for (size_t line = 0; content.size() < size; ++line) {
    content += name + " " + std::to_string(line) + "\n";
  }
  content.resize(size);
  return content;
}

// What a client sends for a read of so many bytes at an offset, in both versions.
inline std::string ReadCall(uint64_t offset, uint32_t size) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(offset >> shift);
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift);
  return bytes;
}

// Whether reads of `size` bytes, one behind the other, have all been sent through `relay`.
inline bool AllReadsSent(TcpRelay& relay, size_t reads, uint32_t size) {
  for (size_t i = 0; i < reads; ++i) {
    if (relay.Seen(ReadCall(i * size, size)) == 0) return false;
  }
  return true;
}

// The parameter is the protocol's version.
class NfsFaultTest : public ::testing::TestWithParam<int> {
 protected:
  NfsFaultTest() : NfsFaultTest(NfsServer::Options()) {}
  explicit NfsFaultTest(NfsServer::Options options) : server_(directory_.path(), options) {}

  std::unique_ptr<NfsBackend> Open(const std::string& options = "",
                                   const nfs::Patience& patience = {},
                                   MissingStore missing = MissingStore::kCreate) {
    auto target = ParseNfsUrl(NfsServer::Url(GetParam(), "/store", options));
    auto backend = NfsBackend::Open(target.value(), missing, patience);
    EXPECT_OK(backend);
    return *std::move(backend);
  }
  // By way of `relay`, which stands before the server's NFS port.
  std::unique_ptr<NfsBackend> OpenThrough(const TcpRelay& relay,
                                          const nfs::Patience& patience = {}) {
    return Open("&nfsport=" + std::to_string(relay.port()), patience);
  }
  std::string OnDisk(const std::string& name) const {
    return server_.export_directory() + "/store/" + name;
  }
  // Names of files on the server's disk that are no objects.
  std::vector<std::string> Temporaries() const {
    std::vector<std::string> found;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(server_.export_directory())) {
      const std::string name = entry.path().filename();
      if (name.starts_with(".tmp-")) found.push_back(name);
    }
    return found;
  }

  TempDir directory_;
  NfsServer server_;
};

}  // namespace slacker::testing
