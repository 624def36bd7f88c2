#include "cmd/hellobench/catalogue/catalogue.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <iterator>
#include <set>
#include <utility>

#include "backend/base/image_reference.h"
#include "backend/base/status.h"
#include "cmd/common/sibling_program.h"
#include "cmd/common/toml_values.h"

namespace slacker::hellobench {
namespace {

constexpr std::array<std::pair<std::string_view, Category>, 6> kCategories = {{
    {"distro", Category::kDistro},
    {"database", Category::kDatabase},
    {"language", Category::kLanguage},
    {"web-server", Category::kWebServer},
    {"web-framework", Category::kWebFramework},
    {"other", Category::kOther},
}};
constexpr std::array<std::pair<std::string_view, Kind>, 5> kKinds = {{
    {"E", Kind::kEcho},
    {"A", Kind::kArguments},
    {"S", Kind::kScript},
    {"W", Kind::kLine},
    {"P", Kind::kPort},
}};

template <typename Names, typename Value>
std::string_view NameIn(const Names& names, Value value) {
  for (const auto& [name, known] : names) {
    if (known == value) return name;
  }
  return "";
}

template <typename Names>
auto ValueIn(const Names& names, std::string_view text)
    -> absl::StatusOr<decltype(names[0].second)> {
  std::string all;
  for (const auto& [name, value] : names) {
    if (name == text) return value;
    all += (all.empty() ? "" : ", ") + std::string(name);
  }
  return InvalidArgument("must be one of " + all);
}

// An entry while its keys are read, in any order.
struct Entry : Image {
  std::string directory;  // of the file
  std::string script, line;
  ReadyPort port;
};

using Setter = std::function<absl::Status(const toml::node&, Entry*)>;

// What `read` makes of the node goes to `field`.
template <typename Value, typename Owner>
Setter Into(Value Owner::*field, absl::StatusOr<Value> (*read)(const toml::node&)) {
  return [field, read](const toml::node& node, Entry* entry) -> absl::Status {
    ASSIGN_OR_RETURN(entry->*field, read(node));
    return absl::OkStatus();
  };
}

template <typename Value>
Setter IntoTask(Value Task::*field, absl::StatusOr<Value> (*read)(const toml::node&)) {
  return [field, read](const toml::node& node, Entry* entry) -> absl::Status {
    ASSIGN_OR_RETURN(entry->task.*field, read(node));
    return absl::OkStatus();
  };
}

absl::StatusOr<std::string> FilledTextOf(const toml::node& node) {
  ASSIGN_OR_RETURN(std::string text, TextOf(node));
  if (text.empty()) return InvalidArgument("must not be empty");
  return text;
}

absl::StatusOr<std::string> ReferenceOf(const toml::node& node) {
  ASSIGN_OR_RETURN(std::string reference, TextOf(node));
  RETURN_IF_ERROR(ParseImageReference(reference).status());
  return reference;
}

absl::StatusOr<Category> CategoryIn(const toml::node& node) {
  ASSIGN_OR_RETURN(const std::string name, TextOf(node));
  return CategoryOf(name);
}

absl::StatusOr<Kind> KindIn(const toml::node& node) {
  ASSIGN_OR_RETURN(const std::string name, TextOf(node));
  return ValueIn(kKinds, name);
}

absl::StatusOr<std::map<std::string, std::string>> MapOf(const toml::node& node) {
  const toml::table* table = node.as_table();
  if (table == nullptr) return InvalidArgument("must be a table of strings");
  std::map<std::string, std::string> map;
  for (const auto& [key, value] : *table) {
    const auto text = value.value_exact<std::string>();
    if (!text.has_value()) return InvalidArgument("must be a table of strings");
    map[std::string(key.str())] = *text;
  }
  return map;
}

absl::Status SetMounts(const toml::node& node, Entry* entry) {
  ASSIGN_OR_RETURN(const auto mounts, MapOf(node));
  for (const auto& [target, folder] : mounts) {
    if (!target.starts_with('/')) return InvalidArgument("must have absolute paths as keys");
    const std::filesystem::path path = std::filesystem::path(entry->directory) / folder;
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
      return InvalidArgument("there is no folder " + path.string());
    }
    entry->task.mounts[target] = path.string();
  }
  return absl::OkStatus();
}

absl::Status SetPort(const toml::node& node, Entry* entry) {
  ASSIGN_OR_RETURN(const int64_t port, NumberOf(node, 1, UINT16_MAX));
  entry->port.port = static_cast<uint16_t>(port);
  return absl::OkStatus();
}

absl::Status SetPath(const toml::node& node, Entry* entry) {
  ASSIGN_OR_RETURN(entry->port.path, TextOf(node));
  const bool plain = entry->port.path.find_first_of(" \t\r\n") == std::string::npos;
  if (entry->port.path.starts_with('/') && plain) return absl::OkStatus();
  return InvalidArgument("must begin with a slash and have no blanks");
}

absl::Status SetLoad(const toml::node& node, Entry* entry) {
  ASSIGN_OR_RETURN(auto map, MapOf(node));
  Load load;
  if (auto reply = map.extract("reply"); !reply.empty()) load.reply = reply.mapped();
  for (const auto& [name, field] :
       {std::pair("script", &load.script), std::pair("throughput", &load.throughput),
        std::pair("unit", &load.unit)}) {
    const auto value = map.extract(name);
    if (value.empty() || value.mapped().empty()) {
      return InvalidArgument("needs a " + std::string(name));
    }
    *field = value.mapped();
  }
  if (!map.empty()) return InvalidArgument(map.begin()->first + ": unknown key");
  entry->task.load = std::move(load);
  return absl::OkStatus();
}

absl::Status SetTimeLimit(const toml::node& node, Entry* entry) {
  ASSIGN_OR_RETURN(entry->task.time_limit_seconds, SecondsOf(node, 1, kMaxTimeLimitSeconds));
  return absl::OkStatus();
}

// A key of an entry, with the letters of the kinds that may have it and of those that must.
struct Key {
  std::string_view name, kinds, needed;
  Setter set;
};

constexpr std::string_view kAll = "EASWP";

const std::array<Key, 16>& Keys() {
  static const std::array<Key, 16> keys = {{
      {"name", kAll, kAll, Into(&Image::name, PlainNameOf)},
      {"category", kAll, kAll, Into(&Image::category, CategoryIn)},
      {"kind", kAll, kAll, Into(&Image::kind, KindIn)},
      {"image", kAll, kAll, IntoTask(&Task::image, ReferenceOf)},
      {"original", kAll, "", Into(&Image::original, ReferenceOf)},
      {"note", kAll, "", Into(&Image::note, FilledTextOf)},
      {"command", "AWP", "", IntoTask(&Task::command, TextsOf)},
      {"arguments", "AWP", "", IntoTask(&Task::arguments, TextsOf)},
      {"environment", kAll, "", IntoTask(&Task::environment, MapOf)},
      {"mounts", kAll, "", SetMounts},
      {"script", "S", "S", Into(&Entry::script, FilledTextOf)},
      {"ready_line", "W", "W", Into(&Entry::line, FilledTextOf)},
      {"ready_port", "P", "P", SetPort},
      {"ready_path", "P", "", SetPath},
      {"time_limit", kAll, "", SetTimeLimit},
      {"load", "WP", "", SetLoad},
  }};
  return keys;
}

absl::Status ReadKeys(const toml::table& table, const std::string& file, Entry* entry) {
  for (const auto& [toml_key, node] : table) {
    const std::string name(toml_key.str());
    const std::string context = Place(file, node.source()) + ": image." + name;
    const auto key = std::find_if(Keys().begin(), Keys().end(),
                                  [&name](const Key& one) { return one.name == name; });
    if (key == Keys().end()) return InvalidArgument(context + ": unknown key");
    RETURN_IF_ERROR(Annotate(key->set(node, entry), context));
  }
  return absl::OkStatus();
}

absl::Status CheckKeys(const toml::table& table, const std::string& file, const Entry& entry) {
  const std::string_view kind = NameOf(entry.kind);
  for (const Key& key : Keys()) {
    const toml::node* node = table.get(key.name);
    const bool needed = key.needed.find(kind) != std::string_view::npos;
    const std::string name = "image." + std::string(key.name);
    if (node == nullptr && needed) {
      return InvalidArgument(Place(file, table.source()) + ": " + name + ": is missing");
    }
    if (node != nullptr && key.kinds.find(kind) == std::string_view::npos) {
      return InvalidArgument(Place(file, node->source()) + ": " + name + ": has no use in kind " +
                             std::string(kind));
    }
  }
  if (entry.original.empty() != entry.note.empty()) {
    return InvalidArgument(Place(file, table.source()) +
                           ": image.original: goes with image.note, which says what is different");
  }
  return absl::OkStatus();
}

// What the kind stands for.
Image Finish(Entry entry) {
  switch (entry.kind) {
    case Kind::kEcho:
      entry.task.arguments = {"echo", "hello"};
      break;
    case Kind::kScript:
      entry.task.arguments = {"sh", "-c", entry.script};
      break;
    case Kind::kLine:
      entry.task.ready = ReadyLine{entry.line};
      break;
    case Kind::kPort:
      entry.task.ready = entry.port;
      break;
    case Kind::kArguments:
      break;
  }
  return entry;
}

absl::StatusOr<Image> ReadEntry(const toml::node& node, const std::string& file,
                                const std::string& directory) {
  const toml::table* table = node.as_table();
  if (table == nullptr) {
    return InvalidArgument(Place(file, node.source()) + ": image: must be written as [[image]]");
  }
  Entry entry;
  entry.directory = directory;
  RETURN_IF_ERROR(ReadKeys(*table, file, &entry));
  RETURN_IF_ERROR(CheckKeys(*table, file, entry));
  return Finish(std::move(entry));
}

}  // namespace

std::string_view NameOf(Category category) { return NameIn(kCategories, category); }
std::string_view NameOf(Kind kind) { return NameIn(kKinds, kind); }
absl::StatusOr<Category> CategoryOf(std::string_view name) { return ValueIn(kCategories, name); }

absl::Status Catalogue::Add(std::string_view text, const std::string& file,
                            const std::string& directory) {
  ASSIGN_OR_RETURN(const toml::table parsed, ParseSettings(text, file));
  std::vector<Image> images = images_;
  std::set<std::string> names;
  for (const Image& image : images) names.insert(image.name);
  for (const auto& [key, node] : parsed) {
    const std::string context = Place(file, node.source()) + ": " + std::string(key.str());
    if (key.str() != "image") return InvalidArgument(context + ": unknown key");
    const toml::array* entries = node.as_array();
    if (entries == nullptr) return InvalidArgument(context + ": must be written as [[image]]");
    for (const toml::node& entry : *entries) {
      ASSIGN_OR_RETURN(Image image, ReadEntry(entry, file, directory));
      if (!names.insert(image.name).second) {
        return InvalidArgument(Place(file, entry.source()) + ": image.name: there is a \"" +
                               image.name + "\" already");
      }
      images.push_back(std::move(image));
    }
  }
  images_ = std::move(images);
  return absl::OkStatus();
}

absl::Status Catalogue::AddFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadSettings(path));
  return Add(text, path, std::filesystem::path(path).parent_path().string());
}

std::vector<Image> Catalogue::InCategory(Category category) const {
  std::vector<Image> chosen;
  std::copy_if(images_.begin(), images_.end(), std::back_inserter(chosen),
               [category](const Image& image) { return image.category == category; });
  return chosen;
}

absl::StatusOr<const Image*> Catalogue::Find(std::string_view name) const {
  for (const Image& image : images_) {
    if (image.name == name) return &image;
  }
  return NotFound("no image \"" + std::string(name) + "\" in the catalogue: hellobench list");
}

absl::StatusOr<std::string> DataDirectory() {
  ASSIGN_OR_RETURN(const std::string programs, ProgramDirectory());
  return (std::filesystem::path(programs).parent_path() / "share/hellobench").string();
}

absl::StatusOr<Catalogue> OpenCatalogue(const std::vector<std::string>& files) {
  ASSIGN_OR_RETURN(const std::string data, DataDirectory());
  Catalogue catalogue;
  RETURN_IF_ERROR(catalogue.AddFile(data + "/catalogue.toml"));
  for (const std::string& file : files) RETURN_IF_ERROR(catalogue.AddFile(file));
  return catalogue;
}

}  // namespace slacker::hellobench
