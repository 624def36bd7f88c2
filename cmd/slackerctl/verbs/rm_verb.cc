#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "backend/base/status.h"
#include "backend/upkeep/remove_image.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/image_lookup.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

struct RmArguments {
  CommonArguments common;
  std::vector<std::string> images;
  std::string platform;
};

// By name: that entry. By chain ID: every entry of the chain, and what is left of it.
absl::StatusOr<RemovedImages> Remove(const RmArguments& arguments) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store,
                   OpenExistingBackend(arguments.common.store));
  ASSIGN_OR_RETURN(const std::vector<ImageEntry> images, ListBareImages(*store));
  std::vector<ImageEntry> entries;
  std::vector<Digest> chains;
  for (const std::string& text : arguments.images) {
    ASSIGN_OR_RETURN(const FoundImage found, FindImage(*store, text, arguments.platform));
    chains.push_back(found.chain_id);
    const bool by_chain = Digest::Parse(text).ok();
    if (!by_chain) entries.push_back(*found.entry);
    for (const ImageEntry& image : images) {
      if (by_chain && image.chain_id == found.chain_id) entries.push_back(image);
    }
  }
  return RemoveImages(*store, entries, chains);
}

int RunRm(const RmArguments& arguments, const Console& console) {
  const absl::StatusOr<RemovedImages> removed = Remove(arguments);
  if (!removed.ok()) {
    PrintError(console.err, removed.status());
    return kExitFailed;
  }
  if (arguments.common.json) {
    PrintJson(console.out, {{"entries", removed->entries},
                            {"replaced", removed->replaced},
                            {"manifests", removed->manifests},
                            {"grants", removed->grants},
                            {"kept_chains", removed->kept_chains}});
    return kExitOk;
  }
  console.out << "removed " << Counted(removed->entries, "name") << ", "
              << Counted(removed->manifests, "manifest") << ", "
              << Counted(removed->grants, "grant");
  if (removed->replaced > 0) {
    console.out << "; " << Counted(removed->replaced, "name") << " published anew meanwhile stay";
  }
  if (removed->kept_chains > 0) {
    console.out << "; other images need " << Counted(removed->kept_chains, "chain") << " of them";
  }
  console.out << ". \"slackerctl gc\" removes their data.\n";
  return kExitOk;
}

Action DeclareRm(Command* command) {
  auto arguments = std::make_shared<RmArguments>();
  command->Add("IMAGE", &arguments->images, "Image names or chain IDs").Required();
  AddCommon(command, &arguments->common);
  AddPlatform(command, &arguments->platform);
  return [arguments](const Console& console) { return RunRm(*arguments, console); };
}

}  // namespace

const Verb kRmVerb = {"rm", "Take images out of the store", DeclareRm};

}  // namespace slacker::ctl
