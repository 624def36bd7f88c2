#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "backend/base/status.h"
#include "backend/source/platform.h"
#include "backend/view/image_usage.h"
#include "backend/view/provenance.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/verbs/node_images.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

struct ImagesArguments {
  CommonArguments common;
  std::string platform;  // empty: all
  bool node = false;
  // Of slackerd, for `node`.
  std::string root = "/var/lib/containerd/io.containerd.snapshotter.v1.slacker";
};

struct ListedImage {
  ImageEntry entry;
  std::vector<Digest> keys;
  absl::StatusOr<ImageUsage> usage = absl::UnknownError("not measured");
};

absl::StatusOr<std::vector<ListedImage>> ReadImages(const ImagesArguments& arguments,
                                                    std::vector<DamagedEntry>* damaged) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store,
                   OpenExistingBackend(arguments.common.store));
  ASSIGN_OR_RETURN(std::vector<ImageEntry> entries, ListImages(*store, damaged));
  std::vector<Digest> chains;
  for (const ImageEntry& entry : entries) chains.push_back(entry.chain_id);
  const StoreReader reader(store);
  // All are measured, also for a list of one platform: what an image shares does not depend on it.
  std::vector<absl::StatusOr<ImageUsage>> usages = MeasureImages(reader, chains);
  std::optional<Platform> wanted;
  if (!arguments.platform.empty()) {
    ASSIGN_OR_RETURN(wanted, ParsePlatform(arguments.platform));
  }
  std::vector<ListedImage> images;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (wanted.has_value() && !PlatformMatches(*wanted, entries[i].platform)) continue;
    ListedImage image;
    ASSIGN_OR_RETURN(image.keys, ListSigners(*store, chains[i]));
    image.entry = std::move(entries[i]);
    image.usage = std::move(usages[i]);
    images.push_back(std::move(image));
  }
  return images;
}

std::string Percent(const ImageUsage& usage) {
  if (usage.stored_bytes == 0) return "-";
  const double part =
      static_cast<double>(usage.shared_bytes) / static_cast<double>(usage.stored_bytes);
  return std::to_string(static_cast<int>(part * 100)) + "%";
}

Cell KeysCell(const std::vector<Digest>& keys) {
  constexpr size_t kShortKey = 12;
  Cell cell;
  for (const Digest& key : keys) {
    const char* comma = cell.text.empty() ? "" : ",";
    cell.text += comma + key.ToHex().substr(0, kShortKey);
    cell.exact += comma + key.ToHex();
  }
  return keys.empty() ? TextCell("-") : cell;
}

std::vector<Cell> Row(const ListedImage& image) {
  const ImageEntry& entry = image.entry;
  std::vector<Cell> usage(4, TextCell("?"));
  usage[1] = SizeCell(entry.unpacked_bytes);
  if (image.usage.ok()) {
    usage[0] = CountCell(image.usage->layers);
    usage[2] = SizeCell(image.usage->stored_bytes);
    usage[3] = {Percent(*image.usage), std::to_string(image.usage->shared_bytes)};
  }
  return {TextCell(entry.name),
          DigestCell(entry.chain_id),
          TextCell(FormatPlatform(entry.platform)),
          usage[0],
          usage[1],
          usage[2],
          usage[3],
          TextCell(FormatTime(entry.published_unix_seconds)),
          KeysCell(image.keys)};
}

nlohmann::json ToJson(const ListedImage& image) {
  nlohmann::json json = ImageJson(image.entry);
  json["keys"] = nlohmann::json::array();
  for (const Digest& key : image.keys) json["keys"].push_back(key.ToHex());
  if (image.usage.ok()) {
    json["layers"] = image.usage->layers;
    json["stored_bytes"] = image.usage->stored_bytes;
    json["shared_bytes"] = image.usage->shared_bytes;
  } else {
    SetBytes(&json, "error", Message(image.usage.status()));
  }
  return json;
}

int RunImages(const ImagesArguments& arguments, const Console& console) {
  std::vector<DamagedEntry> damaged;
  const absl::StatusOr<std::vector<ListedImage>> images = ReadImages(arguments, &damaged);
  if (!images.ok()) {
    PrintError(console.err, images.status());
    return kExitFailed;
  }
  nlohmann::json list = nlohmann::json::array();
  std::vector<std::vector<Cell>> rows;
  int exit_code = damaged.empty() ? kExitOk : kExitFailed;
  for (const DamagedEntry& entry : damaged) {
    PrintError(console.err, Annotate(entry.status, entry.object));
  }
  for (const ListedImage& image : *images) {
    if (!image.usage.ok()) {
      PrintError(console.err, Annotate(image.usage.status(), image.entry.name));
      exit_code = kExitFailed;
    }
    if (arguments.common.json) {
      list.push_back(ToJson(image));
    } else {
      rows.push_back(Row(image));
    }
  }
  if (arguments.common.json) {
    PrintJson(console.out, list);
  } else {
    PrintRows(
        console,
        {"IMAGE", "CHAIN", "PLATFORM", "LAYERS", "SIZE", "STORED", "SHARED", "PUBLISHED", "KEYS"},
        rows);
  }
  return exit_code;
}

Action DeclareImages(Command* command) {
  auto arguments = std::make_shared<ImagesArguments>();
  AddCommon(command, &arguments->common);
  command
      ->Add("--platform", &arguments->platform, "Only images for os/arch[/variant] (default: all)")
      .Checked("", PlatformProblem);
  const Option node = command->Flag("--node", &arguments->node,
                                    "What this node has of images, instead of what the store has");
  command->Add("--root", &arguments->root, "With --node: slackerd's root directory")
      .Needs(node)
      .ShowDefault();
  return [arguments](const Console& console) {
    return arguments->node ? ListNodeImages(arguments->root, arguments->common.json, console)
                           : RunImages(*arguments, console);
  };
}

}  // namespace

const Verb kImagesVerb = {"images", "List the published images", DeclareImages};

}  // namespace slacker::ctl
