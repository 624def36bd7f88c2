// Images for tests: writes OCI image layouts, and the storage directory of Debian's
// docker-registry.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/digest.h"
#include "backend/store/store.h"

namespace slacker::testing {

std::string Gzip(std::string_view bytes);
std::string Zstd(std::string_view bytes);

// Incompressible bytes, the same for the same seed.
std::string RandomBytes(size_t size, uint64_t seed);

void WriteFileOrDie(const std::string& path, std::string_view content);
std::string ReadFileOrDie(const std::string& path);

struct ImageLayer {
  std::string blob;  // as it is stored
  Digest diff_id;    // what the configuration will claim
  std::string media_type;
};

ImageLayer PlainLayer(std::string_view tar);
ImageLayer GzipLayer(std::string_view tar);
ImageLayer ZstdLayer(std::string_view tar);
// Of two gzip members, as no program makes one layer: nobody can compress it again to that.
ImageLayer OddLayer(std::string_view tar);

struct WrittenImage {
  Digest manifest;
  Digest config;
  std::string manifest_json;
  std::vector<Digest> diff_ids;
  Digest chain_id;
};

// An OCI image layout in a directory, which it creates.
class OciLayout {
 public:
  explicit OciLayout(std::string directory);

  // Adds an image to index.json; without a tag when `tag` is empty.
  WrittenImage AddImage(const std::vector<ImageLayer>& layers, const std::string& tag = "",
                        const Platform& platform = {"linux", "amd64", ""});
  // Stores a blob and returns its digest.
  Digest AddBlob(std::string_view content);
  // Adds an entry to index.json.
  void AddEntry(const std::string& media_type, const Digest& digest, size_t size_bytes,
                const std::string& tag, const std::optional<Platform>& platform);

  const std::string& directory() const { return directory_; }
  std::string BlobPath(const Digest& digest) const;

 private:
  const std::string directory_;
  std::vector<std::string> entries_;  // JSON
};

// Makes a docker-registry with this storage directory serve `image` of `layout` as
// `repository`:`tag`.
void InstallInRegistry(const OciLayout& layout, const WrittenImage& image,
                       const std::string& storage, const std::string& repository,
                       const std::string& tag);

}  // namespace slacker::testing
