#include "cmd/slackerctl/image_lookup.h"

#include <string>
#include <utility>
#include <vector>

#include "backend/base/image_reference.h"
#include "backend/base/status.h"
#include "backend/source/platform.h"
#include "backend/store/find_image.h"
#include "cmd/common/hint.h"
#include "cmd/common/key_files.h"
#include "cmd/common/store_url.h"

namespace slacker::ctl {
namespace {

constexpr std::string_view kDocker = "docker://";
constexpr std::string_view kListHint = "\"slackerctl images\" lists what the store has";

// The name under which publish would have stored `text`.
std::string Normalise(std::string_view text) {
  std::string_view reference = text;
  if (reference.starts_with(kDocker)) reference.remove_prefix(kDocker.size());
  const auto parsed = ParseImageReference(reference);
  return parsed.ok() ? std::string(kDocker) + parsed->ToString() : std::string(text);
}

// What tables show of a chain ID.
bool IsChainPrefix(std::string_view text) {
  constexpr std::string_view kAlgorithm = "sha256:";
  constexpr size_t kFewestDigits = 6;
  return text.starts_with(kAlgorithm) && text.size() >= kAlgorithm.size() + kFewestDigits &&
         text.find_first_not_of("0123456789abcdef", kAlgorithm.size()) == std::string_view::npos;
}

absl::StatusOr<FoundImage> FindByPrefix(const std::vector<ImageEntry>& images,
                                        std::string_view prefix) {
  const ImageEntry* found = nullptr;
  for (const ImageEntry& image : images) {
    if (!image.chain_id.ToString().starts_with(prefix)) continue;
    if (found != nullptr && found->chain_id != image.chain_id) {
      return InvalidArgument("several images' chain IDs begin with " + std::string(prefix));
    }
    found = &image;
  }
  if (found == nullptr) {
    return WithHint(NotFound("no image's chain ID begins with " + std::string(prefix)), kListHint);
  }
  return FoundImage{found->chain_id, *found};
}

absl::StatusOr<Platform> WantedPlatform(std::string_view platform) {
  return platform.empty() ? HostPlatform() : ParsePlatform(platform);
}

// Where nothing can be listed: under the names that `text` may stand for.
absl::StatusOr<FoundImage> FindUnlisted(ReadBackend& store, std::string_view text,
                                        std::string_view platform) {
  if (const auto chain = Digest::Parse(text); chain.ok()) return FoundImage{*chain, std::nullopt};
  if (IsChainPrefix(text)) {
    return InvalidArgument(std::string(text) +
                           ": a store behind a web server cannot be listed: write the whole chain "
                           "ID, or a name");
  }
  ASSIGN_OR_RETURN(const Platform wanted, WantedPlatform(platform));
  std::vector<std::string> names = {std::string(text)};
  if (std::string name = Normalise(text); name != text) names.push_back(std::move(name));
  for (const std::string& name : names) {
    absl::StatusOr<ImageEntry> entry = slacker::FindImage(store, name, wanted);
    if (entry.ok()) return FoundImage{entry->chain_id, *std::move(entry)};
    if (!absl::IsNotFound(entry.status())) return entry.status();
  }
  return WithHint(
      NotFound("no image " + std::string(text) + " is published for " + FormatPlatform(wanted)),
      "\"slackerctl images\" lists what the store has, where its server has it");
}

}  // namespace

absl::StatusOr<FoundImage> FindImage(Backend& store, std::string_view text,
                                     std::string_view platform) {
  ASSIGN_OR_RETURN(std::vector<ImageEntry> images, ListImages(store));
  if (const auto chain = Digest::Parse(text); chain.ok()) {
    for (ImageEntry& image : images) {
      if (image.chain_id == *chain) return FoundImage{*chain, std::move(image)};
    }
    return FoundImage{*chain, std::nullopt};
  }
  if (IsChainPrefix(text)) return FindByPrefix(images, text);
  ASSIGN_OR_RETURN(const Platform wanted, WantedPlatform(platform));
  const std::string name = Normalise(text);
  std::vector<ImageEntry> named;
  for (ImageEntry& image : images) {
    if (image.name == text || image.name == name) named.push_back(std::move(image));
  }
  std::string offers;
  for (ImageEntry& image : named) {
    if (PlatformMatches(wanted, image.platform)) return FoundImage{image.chain_id, image};
    offers += (offers.empty() ? "" : ", ") + FormatPlatform(image.platform);
  }
  if (named.size() == 1 && platform.empty()) return FoundImage{named[0].chain_id, named[0]};
  if (named.empty()) {
    return WithHint(NotFound("no image " + std::string(text) + " is published"), kListHint);
  }
  if (!platform.empty()) {
    return NotFound(std::string(text) + " is not published for " + FormatPlatform(wanted) +
                    "; there is: " + offers);
  }
  return InvalidArgument(std::string(text) + " is published for several platforms (" + offers +
                         "): choose one with --platform");
}

absl::StatusOr<OpenedImage> OpenImage(const CommonArguments& common, std::string_view text,
                                      std::string_view platform) {
  if (CanBeListed(common.store)) {
    ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store, OpenExistingBackend(common.store));
    ASSIGN_OR_RETURN(FoundImage image, FindImage(*store, text, platform));
    return OpenedImage{store, std::move(image)};
  }
  ASSIGN_OR_RETURN(std::shared_ptr<ReadBackend> store,
                   OpenReadBackend(common.store, common.access));
  ASSIGN_OR_RETURN(FoundImage image, FindUnlisted(*store, text, platform));
  return OpenedImage{std::move(store), std::move(image)};
}

void AddImageOptions(Command* command, ImageArguments* arguments, bool positional) {
  if (positional) {
    command->Add("IMAGE", &arguments->image, "Image name or chain ID").Required();
  }
  AddCommon(command, &arguments->common);
  AddAccess(command, &arguments->common.access);
  AddPlatform(command, &arguments->platform);
  AddTrustedKeys(command, &arguments->trusted_keys);
}

absl::StatusOr<ReadableImage> OpenForReading(const ImageArguments& arguments) {
  Trust trust;
  ASSIGN_OR_RETURN(trust.keys, ReadPublicKeys(arguments.trusted_keys));
  ASSIGN_OR_RETURN(OpenedImage opened,
                   OpenImage(arguments.common, arguments.image, arguments.platform));
  ReadableImage image{std::move(opened.store), nullptr, std::move(opened.image)};
  image.reader = std::make_unique<StoreReader>(image.store, std::move(trust));
  return image;
}

}  // namespace slacker::ctl
