// Which published image an argument means.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/store/store.h"
#include "cmd/slackerctl/verb.h"

namespace slacker::ctl {

struct FoundImage {
  Digest chain_id;
  std::optional<ImageEntry> entry;  // none when only the chain is known
};

// `text` is a chain ID, the beginning of one image's ("sha256:" and six digits or more), a name as `images` lists it, or an image reference ("nginx:1.25").
// `platform` ("os/arch[/variant]", may be empty) decides between images of one name; without it the
// host's does. NOT_FOUND; INVALID_ARGUMENT when it stands for several images.
absl::StatusOr<FoundImage> FindImage(Backend& store, std::string_view text,
                                     std::string_view platform);

// The same in a store that is opened for reading. In one that cannot be listed an image has an entry only if
// `text` is a name, published for just this platform; the beginning of a chain ID is INVALID_ARGUMENT.
struct OpenedImage {
  std::shared_ptr<ReadBackend> store;
  FoundImage image;
};
absl::StatusOr<OpenedImage> OpenImage(const CommonArguments& common, std::string_view text,
                                      std::string_view platform);

// What verbs take that read one image.
struct ImageArguments {
  CommonArguments common;
  std::string image;
  std::string platform;
  std::vector<std::string> trusted_keys;  // files
};
// Its option IMAGE, if `positional`, and all the others.
void AddImageOptions(Command* command, ImageArguments* arguments, bool positional = true);

// The store, a reader that believes the trusted keys, and the image. The manifest is not read yet.
struct ReadableImage {
  std::shared_ptr<ReadBackend> store;
  std::unique_ptr<StoreReader> reader;
  FoundImage found;
};
absl::StatusOr<ReadableImage> OpenForReading(const ImageArguments& arguments);

}  // namespace slacker::ctl
