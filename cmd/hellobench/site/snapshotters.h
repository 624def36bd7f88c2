// What there is to know of a snapshotter to measure it: its daemon, its settings, how it wants its images.
//
// The words between braces in texts are placeholders ({root}, {image}, ...); docs/hellobench.md lists them.
// Braces around anything but small letters and underscores stay as they are, and so does "${...}".
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker::hellobench {

// A file that is written for the daemon.
struct SettingsFile {
  std::string path;  // below the node's directory
  std::string text;
  std::vector<std::string> stores;  // for systems with one of these; empty: for all
};

// One step of the preparation of an image: a shell's command in the servers' namespace.
struct PreparationStep {
  std::string name;  // of the figure that it becomes
  std::string command;
};

struct Snapshotter {
  std::string name;
  bool proxy = false;                   // has a daemon; else it is containerd's own
  std::vector<std::string> containerd;  // versions that it works with: "1", "2"
  std::vector<std::string> stores;      // that it can read from; empty: it needs none
  std::vector<std::string> programs;    // that it needs
  std::vector<std::string> daemon;      // program and arguments
  std::vector<std::string> version;     // a command that prints it
  std::vector<SettingsFile> files;
  std::string containerd_config;         // TOML, behind what a node's containerd has anyway
  std::string differ;                    // containerd 2's plug-in that unpacks; "": its default
  std::vector<std::string> setup;        // shell's commands, once before the first image
  std::vector<PreparationStep> prepare;  // for each image
  std::string reference = "{image}";     // that is pulled
  std::vector<std::string> cache;        // patterns of files that a cold node has not (glob(7))
  // A shell's command on the node that prints what the daemon has asked of its store: requests, bytes.
  std::string store_counters;
  // A shell's command beside the servers that writes figures of an image that is prepared. Takes no part
  // in how long that took.
  std::string figures;
};

using Placeholders = std::map<std::string, std::string>;

// The text with every placeholder replaced. INVALID_ARGUMENT for one that has no value here.
absl::StatusOr<std::string> Expand(std::string_view text, const Placeholders& values);

// What is known, in the order of its files; names are unique.
class Snapshotters {
 public:
  // Adds the entries of a file called `file`. INVALID_ARGUMENT with file, line and key for what is not
  // TOML, an unknown key or placeholder, one that is missing, a wrong value, a name that there is already;
  // then nothing is added. `text` may be anything.
  absl::Status Add(std::string_view text, const std::string& file);
  absl::Status AddFile(const std::string& path);

  const std::vector<Snapshotter>& all() const { return all_; }
  // NOT_FOUND, with the names there are.
  absl::StatusOr<const Snapshotter*> Find(std::string_view name) const;

 private:
  std::vector<Snapshotter> all_;
};

// The file that is installed in `data` (DataDirectory()), and further files.
absl::StatusOr<Snapshotters> OpenSnapshotters(const std::string& data,
                                              const std::vector<std::string>& files);

}  // namespace slacker::hellobench
