#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "backend/base/status.h"
#include "backend/source/platform.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

absl::StatusOr<std::vector<ImageEntry>> ReadImages(const std::string& url) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store, OpenExistingBackend(url));
  return ListImages(*store);
}

int RunImages(const CommonArguments& common, const Console& console) {
  const absl::StatusOr<std::vector<ImageEntry>> images = ReadImages(common.store);
  if (!images.ok()) {
    PrintError(console.err, images.status());
    return kExitFailed;
  }
  if (common.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const ImageEntry& image : *images) list.push_back(ImageJson(image));
    PrintJson(console.out, list);
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows;
  for (const ImageEntry& image : *images) {
    rows.push_back({image.name, FormatPlatform(image.platform), ShortDigest(image.chain_id),
                    HumanSize(image.compressed_bytes), HumanSize(image.unpacked_bytes),
                    FormatTime(image.published_unix_seconds)});
  }
  PrintTable(console.out, {"IMAGE", "PLATFORM", "CHAIN", "COMPRESSED", "UNPACKED", "PUBLISHED"},
             rows);
  return kExitOk;
}

Action DeclareImages(CLI::App* command) {
  auto common = std::make_shared<CommonArguments>();
  AddCommon(command, common.get());
  return [common](const Console& console) { return RunImages(*common, console); };
}

}  // namespace

const Verb kImagesVerb = {"images", "List the published images", DeclareImages};

}  // namespace slacker::ctl
