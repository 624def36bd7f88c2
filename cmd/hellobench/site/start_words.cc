#include "cmd/hellobench/site/start_words.h"

#include <array>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "backend/base/digest.h"
#include "backend/base/status.h"
#include "cmd/hellobench/site/files.h"

namespace slacker::hellobench {
namespace {

namespace fs = std::filesystem;

// The kernel's limit for one word is 128 KiB, and a byte takes four.
constexpr size_t kMaxScriptBytes = 100 << 10;

std::string Quoted(const std::string& word) {
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

// A shell's commands that write the files of a folder.
absl::StatusOr<std::string> WritingScript(const std::string& folder, const std::string& place) {
  std::string script = "mkdir -p " + Quoted(place) + "\n";
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string target =
        place + "/" + fs::path(entry->path()).lexically_relative(folder).string();
    if (entry->is_directory()) {
      script += "mkdir -p " + Quoted(target) + "\n";
      continue;
    }
    ASSIGN_OR_RETURN(const std::string bytes, ReadText(entry->path().string()));
    script += "printf '";
    for (const char c : bytes) {
      std::array<char, 5> octal{};
      (void)std::snprintf(octal.data(), octal.size(), "\\%03o", static_cast<unsigned char>(c));
      script += octal.data();
    }
    script += "' > " + Quoted(target) + "\n";
    if (script.size() > kMaxScriptBytes) break;
  }
  if (error) return ErrnoError(error.value(), "read " + folder);
  return script;
}

// A list of strings of an image's configuration; empty where there is none.
std::vector<std::string> ListIn(const nlohmann::json& config, const char* name) {
  if (!config.is_object()) return {};
  const auto list = config.find(name);
  if (list == config.end() || !list->is_array()) return {};
  std::vector<std::string> words;
  for (const nlohmann::json& word : *list) {
    if (word.is_string()) words.push_back(word.get<std::string>());
  }
  return words;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> StartWords(const Task& task, std::string_view config) {
  const nlohmann::json image = nlohmann::json::parse(config, nullptr, false);
  if (!image.is_object()) return InvalidArgument("the image has no configuration");
  const nlohmann::json settings = image.value("config", nlohmann::json::object());
  std::vector<std::string> words = task.command;
  if (words.empty()) words = ListIn(settings, "Entrypoint");
  // As in CRI: a command of one's own leaves nothing of the image's.
  std::vector<std::string> arguments = task.arguments;
  if (arguments.empty() && task.command.empty()) arguments = ListIn(settings, "Cmd");
  words.insert(words.end(), arguments.begin(), arguments.end());
  if (words.empty()) return InvalidArgument("the image has nothing to run");
  if (!task.environment.empty()) {
    std::vector<std::string> with = {"env"};
    for (const auto& [name, value] : task.environment) with.push_back(name + "=" + value);
    words.insert(words.begin(), with.begin(), with.end());
  }
  std::string script;
  for (const auto& [place, folder] : task.mounts) {
    ASSIGN_OR_RETURN(const std::string writing, WritingScript(folder, place));
    script += writing;
  }
  if (script.size() > kMaxScriptBytes) {
    return ResourceExhausted("the task's folders are too large for a command line");
  }
  if (script.empty()) return words;
  const std::vector<std::string> shell = {"sh", "-ec", script + "exec \"$@\"", "sh"};
  words.insert(words.begin(), shell.begin(), shell.end());
  return words;
}

std::string Quoted(const std::vector<std::string>& words) {
  std::string quoted;
  for (const std::string& word : words) quoted += (quoted.empty() ? "" : " ") + Quoted(word);
  return quoted;
}

absl::StatusOr<std::string> ReadImageConfig(const std::string& layout, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string text, ReadText(layout + "/index.json"));
  const nlohmann::json index = nlohmann::json::parse(text, nullptr, false);
  const auto blob = [&layout](const nlohmann::json& descriptor) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(const Digest digest, Digest::Parse(descriptor.value("digest", "")));
    return ReadText(layout + "/blobs/sha256/" + digest.ToHex());
  };
  if (!index.is_object() || !index.contains("manifests") || !index["manifests"].is_array()) {
    return DataLoss(layout + "/index.json: is no index");
  }
  for (const nlohmann::json& entry : index["manifests"]) {
    constexpr char kName[] = "/annotations/org.opencontainers.image.ref.name";
    if (!entry.is_object() || entry.value(nlohmann::json::json_pointer(kName), "") != name) {
      continue;
    }
    ASSIGN_OR_RETURN(const std::string manifest_text, blob(entry));
    const nlohmann::json manifest = nlohmann::json::parse(manifest_text, nullptr, false);
    if (!manifest.is_object() || !manifest.contains("config") || !manifest["config"].is_object()) {
      return DataLoss(name + " has no manifest in " + layout);
    }
    return blob(manifest["config"]);
  }
  return NotFound(layout + " has no image " + name);
}

}  // namespace slacker::hellobench
