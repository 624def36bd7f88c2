#include "cmd/hellobench/site/snapshotters.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <utility>

#include "backend/base/status.h"
#include "cmd/common/toml_values.h"

namespace slacker::hellobench {
namespace {

// Sets a field of what is read; `place` is the owner's.
template <typename Owner>
struct Key {
  std::string_view name;
  bool needed;
  std::function<absl::Status(const toml::node&, Owner*)> set;
};

template <typename Value, typename Owner>
std::function<absl::Status(const toml::node&, Owner*)> Into(
    Value Owner::*field, absl::StatusOr<Value> (*read)(const toml::node&)) {
  return [field, read](const toml::node& node, Owner* owner) -> absl::Status {
    ASSIGN_OR_RETURN(owner->*field, read(node));
    return absl::OkStatus();
  };
}

// A word between braces that is a placeholder: [begin, end) with the braces.
struct Found {
  size_t begin = 0, end = 0;
  std::string_view name;
};

bool FindPlaceholder(std::string_view text, size_t from, Found* found) {
  for (size_t open = text.find('{', from); open != std::string_view::npos;
       open = text.find('{', open + 1)) {
    const size_t close = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", open + 1);
    const bool shell = open > 0 && text[open - 1] == '$';
    if (shell || close == std::string_view::npos || text[close] != '}' || close == open + 1) {
      continue;
    }
    *found = {open, close + 1, text.substr(open + 1, close - open - 1)};
    return true;
  }
  return false;
}

// What docs/hellobench.md says there is.
constexpr std::array<std::string_view, 15> kPlaceholders = {
    "node",          "root",     "socket",          "hosts",    "shared", "store",
    "publish_store", "store_ca", "store_directory", "registry", "image",  "repository",
    "name",          "task",     "containerd"};

absl::Status CheckPlaceholders(std::string_view text) {
  Found found;
  for (size_t at = 0; FindPlaceholder(text, at, &found); at = found.end) {
    if (std::find(kPlaceholders.begin(), kPlaceholders.end(), found.name) == kPlaceholders.end()) {
      return InvalidArgument("{" + std::string(found.name) + "} is no placeholder");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> FilledOf(const toml::node& node) {
  ASSIGN_OR_RETURN(std::string text, TextOf(node));
  if (text.empty()) return InvalidArgument("must not be empty");
  RETURN_IF_ERROR(CheckPlaceholders(text));
  return text;
}

absl::StatusOr<std::vector<std::string>> FilledListOf(const toml::node& node) {
  ASSIGN_OR_RETURN(std::vector<std::string> texts, TextsOf(node));
  if (texts.empty()) return InvalidArgument("must not be empty");
  for (const std::string& text : texts) RETURN_IF_ERROR(CheckPlaceholders(text));
  return texts;
}

absl::StatusOr<bool> ProxyIn(const toml::node& node) {
  ASSIGN_OR_RETURN(const std::string text, TextOf(node));
  if (text == "proxy" || text == "containerd") return text == "proxy";
  return InvalidArgument("must be one of containerd, proxy");
}

absl::StatusOr<std::vector<std::string>> SubsetOf(const toml::node& node,
                                                  const std::vector<std::string>& known) {
  ASSIGN_OR_RETURN(std::vector<std::string> texts, FilledListOf(node));
  for (const std::string& text : texts) {
    if (std::find(known.begin(), known.end(), text) != known.end()) continue;
    std::string all;
    for (const std::string& one : known) all += (all.empty() ? "" : ", ") + one;
    return InvalidArgument("must be a list of " + all);
  }
  return texts;
}

absl::StatusOr<std::vector<std::string>> StoresIn(const toml::node& node) {
  return SubsetOf(node, {"loopback", "nfs", "https"});
}

absl::StatusOr<std::vector<std::string>> VersionsIn(const toml::node& node) {
  return SubsetOf(node, {"1", "2"});
}

absl::StatusOr<std::string> PathIn(const toml::node& node) {
  ASSIGN_OR_RETURN(std::string path, TextOf(node));
  const std::filesystem::path given(path);
  const bool inside =
      given.is_relative() &&
      std::none_of(given.begin(), given.end(), [](const auto& part) { return part == ".."; });
  if (inside && !path.empty()) return path;
  return InvalidArgument("must be a path below the node's directory");
}

// Reads a table by its keys; `where` is what errors call it.
template <typename Owner>
absl::Status ReadTable(const toml::table& table, const std::string& file, const std::string& where,
                       const std::vector<Key<Owner>>& keys, Owner* owner) {
  for (const auto& [toml_key, node] : table) {
    const std::string name(toml_key.str());
    const std::string context = Place(file, node.source()) + ": " + where + "." + name;
    const auto key = std::find_if(keys.begin(), keys.end(),
                                  [&name](const auto& one) { return one.name == name; });
    if (key == keys.end()) return InvalidArgument(context + ": unknown key");
    const absl::Status set = key->set(node, owner);
    // What is in a table of tables has its own place.
    if (Message(set).starts_with(file + ":")) return set;
    RETURN_IF_ERROR(Annotate(set, context));
  }
  for (const auto& key : keys) {
    if (!key.needed || table.get(key.name) != nullptr) continue;
    return InvalidArgument(Place(file, table.source()) + ": " + where + "." +
                           std::string(key.name) + ": is missing");
  }
  return absl::OkStatus();
}

template <typename Item>
absl::StatusOr<std::vector<Item>> ReadTables(const toml::node& node, const std::string& file,
                                             const std::string& where,
                                             const std::vector<Key<Item>>& keys) {
  const toml::array* tables = node.as_array();
  if (tables == nullptr || !tables->is_homogeneous<toml::table>()) {
    return InvalidArgument(Place(file, node.source()) + ": " + where + ": must be written as [[" +
                           where + "]]");
  }
  std::vector<Item> items;
  for (const toml::node& table : *tables) {
    items.emplace_back();
    RETURN_IF_ERROR(ReadTable(*table.as_table(), file, where, keys, &items.back()));
  }
  return items;
}

const std::vector<Key<SettingsFile>>& FileKeys() {
  static const std::vector<Key<SettingsFile>> keys = {
      {"path", true, Into(&SettingsFile::path, PathIn)},
      {"text", true, Into(&SettingsFile::text, FilledOf)},
      {"stores", false, Into(&SettingsFile::stores, StoresIn)},
  };
  return keys;
}

const std::vector<Key<PreparationStep>>& StepKeys() {
  static const std::vector<Key<PreparationStep>> keys = {
      {"name", true, Into(&PreparationStep::name, PlainNameOf)},
      {"command", true, Into(&PreparationStep::command, FilledOf)},
  };
  return keys;
}

std::vector<Key<Snapshotter>> Keys(const std::string& file) {
  const auto files = [file](const toml::node& node, Snapshotter* owner) -> absl::Status {
    ASSIGN_OR_RETURN(owner->files, ReadTables(node, file, "snapshotter.file", FileKeys()));
    return absl::OkStatus();
  };
  const auto steps = [file](const toml::node& node, Snapshotter* owner) -> absl::Status {
    ASSIGN_OR_RETURN(owner->prepare, ReadTables(node, file, "snapshotter.prepare", StepKeys()));
    return absl::OkStatus();
  };
  return {
      {"name", true, Into(&Snapshotter::name, PlainNameOf)},
      {"plugin", true, Into(&Snapshotter::proxy, ProxyIn)},
      {"containerd", false, Into(&Snapshotter::containerd, VersionsIn)},
      {"stores", false, Into(&Snapshotter::stores, StoresIn)},
      {"programs", false, Into(&Snapshotter::programs, FilledListOf)},
      {"daemon", false, Into(&Snapshotter::daemon, FilledListOf)},
      {"version", false, Into(&Snapshotter::version, FilledListOf)},
      {"containerd_config", false, Into(&Snapshotter::containerd_config, FilledOf)},
      {"differ", false, Into(&Snapshotter::differ, PlainNameOf)},
      {"setup", false, Into(&Snapshotter::setup, FilledListOf)},
      {"reference", false, Into(&Snapshotter::reference, FilledOf)},
      {"cache", false, Into(&Snapshotter::cache, FilledListOf)},
      {"store_counters", false, Into(&Snapshotter::store_counters, FilledOf)},
      {"figures", false, Into(&Snapshotter::figures, FilledOf)},
      {"file", false, files},
      {"prepare", false, steps},
  };
}

absl::StatusOr<Snapshotter> ReadEntry(const toml::table& table, const std::string& file) {
  Snapshotter entry;
  RETURN_IF_ERROR(ReadTable(table, file, "snapshotter", Keys(file), &entry));
  if (entry.proxy != !entry.daemon.empty()) {
    return InvalidArgument(
        Place(file, table.source()) +
        ": snapshotter.daemon: is what a proxy has, and containerd's own has not");
  }
  if (entry.containerd.empty()) entry.containerd = {"1", "2"};
  return entry;
}

}  // namespace

absl::StatusOr<std::string> Expand(std::string_view text, const Placeholders& values) {
  std::string expanded;
  Found found;
  size_t at = 0;
  for (; FindPlaceholder(text, at, &found); at = found.end) {
    const auto value = values.find(std::string(found.name));
    if (value == values.end()) {
      return InvalidArgument("{" + std::string(found.name) + "} has no value here");
    }
    expanded += text.substr(at, found.begin - at);
    expanded += value->second;
  }
  return expanded + std::string(text.substr(at));
}

absl::Status Snapshotters::Add(std::string_view text, const std::string& file) {
  ASSIGN_OR_RETURN(const toml::table parsed, ParseSettings(text, file));
  std::vector<Snapshotter> all = all_;
  for (const auto& [key, node] : parsed) {
    const std::string context = Place(file, node.source()) + ": " + std::string(key.str());
    if (key.str() != "snapshotter") return InvalidArgument(context + ": unknown key");
    const toml::array* entries = node.as_array();
    if (entries == nullptr || !entries->is_homogeneous<toml::table>()) {
      return InvalidArgument(context + ": must be written as [[snapshotter]]");
    }
    for (const toml::node& entry : *entries) {
      ASSIGN_OR_RETURN(Snapshotter read, ReadEntry(*entry.as_table(), file));
      const bool taken = std::any_of(all.begin(), all.end(), [&read](const Snapshotter& other) {
        return other.name == read.name;
      });
      if (taken) {
        return InvalidArgument(Place(file, entry.source()) + ": snapshotter.name: there is a \"" +
                               read.name + "\" already");
      }
      all.push_back(std::move(read));
    }
  }
  all_ = std::move(all);
  return absl::OkStatus();
}

absl::Status Snapshotters::AddFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadSettings(path));
  return Add(text, path);
}

absl::StatusOr<const Snapshotter*> Snapshotters::Find(std::string_view name) const {
  std::string names;
  for (const Snapshotter& one : all_) {
    if (one.name == name) return &one;
    names += (names.empty() ? "" : ", ") + one.name;
  }
  return NotFound("no snapshotter \"" + std::string(name) + "\"; there are: " + names);
}

absl::StatusOr<Snapshotters> OpenSnapshotters(const std::string& data,
                                              const std::vector<std::string>& files) {
  Snapshotters snapshotters;
  RETURN_IF_ERROR(snapshotters.AddFile(data + "/snapshotters.toml"));
  for (const std::string& file : files) RETURN_IF_ERROR(snapshotters.AddFile(file));
  return snapshotters;
}

}  // namespace slacker::hellobench
