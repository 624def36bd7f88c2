// The verbs of slackerctl. Each does its work, writes its result to the console and returns the
// exit code: 0 done, 1 failed (the reason is on `err`).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cmd/slackerctl/output.h"

namespace slacker::ctl {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

struct CommonArguments {
  std::string store;  // URL
  bool json = false;
};

struct PublishArguments {
  std::vector<std::string> sources;
  std::string platform;  // empty: the host's
  uint64_t chunk_size = Layer().chunk_size;
  int zstd_level = StoreWriter::Options().zstd_level;
  std::string private_repository;         // empty: as the source says
  std::string key;                        // file; empty: unsigned
  std::vector<std::string> trusted_keys;  // files
};

struct SignArguments {
  std::string image;  // empty: everything
  std::string platform;
  std::string key;                        // file
  std::vector<std::string> trusted_keys;  // files
};

// One after the other; a source that fails does not keep the others from being published.
int RunPublish(const CommonArguments& common, const PublishArguments& arguments,
               const Console& console);

int RunImages(const CommonArguments& common, const Console& console);

int RunInspect(const CommonArguments& common, const std::string& image, const std::string& platform,
               const Console& console);

struct VerifyArguments {
  std::string image;  // empty: the whole store
  std::string platform;
  std::vector<std::string> trusted_keys;  // files
};

// Damage is a failure.
int RunVerify(const CommonArguments& common, const VerifyArguments& arguments,
              const Console& console);

// A new key pair: `path` and `path`.pub.
int RunKeygen(const std::string& path, const Console& console);

int RunSign(const CommonArguments& common, const SignArguments& arguments, const Console& console);

// Reads the command line (without the program's name) and runs its verb.
int RunSlackerctl(std::vector<std::string> arguments, const Console& console);

}  // namespace slacker::ctl
