#include "tests/support/oci_image.h"

#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <utility>

#include "backend/base/check.h"

namespace slacker::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr char kManifestType[] = "application/vnd.oci.image.manifest.v1+json";
constexpr char kConfigType[] = "application/vnd.oci.image.config.v1+json";
constexpr char kTarType[] = "application/vnd.oci.image.layer.v1.tar";

Json DescriptorJson(const std::string& type, const Digest& digest, size_t size_bytes) {
  return {{"mediaType", type}, {"digest", digest.ToString()}, {"size", size_bytes}};
}

Json PlatformJson(const Platform& platform) {
  Json json = {{"os", platform.os}, {"architecture", platform.architecture}};
  if (!platform.variant.empty()) json["variant"] = platform.variant;
  return json;
}

}  // namespace

std::string Gzip(std::string_view bytes) {
  z_stream stream{};
  SLACKER_CHECK(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK,
                "out of memory");
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  SLACKER_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END, "the bound suffices");
  out.resize(stream.total_out);
  (void)deflateEnd(&stream);
  return out;
}

std::string Zstd(std::string_view bytes) {
  std::string out(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 1);
  SLACKER_CHECK(ZSTD_isError(size) == 0, "the bound suffices");
  out.resize(size);
  return out;
}

std::string RandomBytes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

void WriteFileOrDie(const std::string& path, std::string_view content) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  SLACKER_CHECK(file.good(), "the test's directory can be written");
}

std::string ReadFileOrDie(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  SLACKER_CHECK(file.good(), "the file is there");
  // At once rather than byte by byte: some tests read hundreds of megabytes.
  std::ostringstream content;
  content << file.rdbuf();
  return std::move(content).str();
}

ImageLayer PlainLayer(std::string_view tar) {
  return {std::string(tar), Sha256::Of(tar), kTarType};
}
ImageLayer GzipLayer(std::string_view tar) {
  return {Gzip(tar), Sha256::Of(tar), std::string(kTarType) + "+gzip"};
}
ImageLayer OddLayer(std::string_view tar) {
  ImageLayer layer = GzipLayer(tar);
  layer.blob = Gzip(tar.substr(0, tar.size() / 2)) + Gzip(tar.substr(tar.size() / 2));
  return layer;
}

ImageLayer ZstdLayer(std::string_view tar) {
  return {Zstd(tar), Sha256::Of(tar), std::string(kTarType) + "+zstd"};
}

OciLayout::OciLayout(std::string directory) : directory_(std::move(directory)) {
  WriteFileOrDie(directory_ + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  fs::create_directories(directory_ + "/blobs/sha256");
}

std::string OciLayout::BlobPath(const Digest& digest) const {
  return directory_ + "/blobs/sha256/" + digest.ToHex();
}

Digest OciLayout::AddBlob(std::string_view content) {
  const Digest digest = Sha256::Of(content);
  WriteFileOrDie(BlobPath(digest), content);
  return digest;
}

void OciLayout::AddEntry(const std::string& media_type, const Digest& digest, size_t size_bytes,
                         const std::string& tag, const std::optional<Platform>& platform) {
  Json entry = DescriptorJson(media_type, digest, size_bytes);
  if (platform.has_value()) entry["platform"] = PlatformJson(*platform);
  if (!tag.empty()) entry["annotations"] = {{"org.opencontainers.image.ref.name", tag}};
  entries_.push_back(entry.dump());
  Json index = {{"schemaVersion", 2}, {"manifests", Json::array()}};
  for (const std::string& text : entries_) index["manifests"].push_back(Json::parse(text));
  WriteFileOrDie(directory_ + "/index.json", index.dump());
}

WrittenImage OciLayout::AddImage(const std::vector<ImageLayer>& layers, const std::string& tag,
                                 const Platform& platform) {
  WrittenImage image;
  Json config = PlatformJson(platform);
  config["rootfs"] = {{"type", "layers"}, {"diff_ids", Json::array()}};
  Json manifest = {{"schemaVersion", 2}, {"mediaType", kManifestType}, {"layers", Json::array()}};
  for (const ImageLayer& layer : layers) {
    manifest["layers"].push_back(
        DescriptorJson(layer.media_type, AddBlob(layer.blob), layer.blob.size()));
    config["rootfs"]["diff_ids"].push_back(layer.diff_id.ToString());
    image.diff_ids.push_back(layer.diff_id);
  }
  const std::string config_json = config.dump();
  image.config = AddBlob(config_json);
  manifest["config"] = DescriptorJson(kConfigType, image.config, config_json.size());
  image.manifest_json = manifest.dump();
  image.manifest = AddBlob(image.manifest_json);
  if (!image.diff_ids.empty()) image.chain_id = ChainId(image.diff_ids);
  AddEntry(kManifestType, image.manifest, image.manifest_json.size(), tag, platform);
  return image;
}

void InstallInRegistry(const OciLayout& layout, const WrittenImage& image,
                       const std::string& storage, const std::string& repository,
                       const std::string& tag) {
  const std::string root = storage + "/docker/registry/v2";
  const std::string repo = root + "/repositories/" + repository;
  for (const auto& blob : fs::directory_iterator(layout.directory() + "/blobs/sha256")) {
    const std::string hex = blob.path().filename().string();
    WriteFileOrDie(root + "/blobs/sha256/" + hex.substr(0, 2) + "/" + hex + "/data",
                   ReadFileOrDie(blob.path().string()));
    WriteFileOrDie(repo + "/_layers/sha256/" + hex + "/link", "sha256:" + hex);
  }
  const std::string link = image.manifest.ToString();
  const std::string manifests = repo + "/_manifests";
  WriteFileOrDie(manifests + "/revisions/sha256/" + image.manifest.ToHex() + "/link", link);
  WriteFileOrDie(manifests + "/tags/" + tag + "/current/link", link);
  WriteFileOrDie(manifests + "/tags/" + tag + "/index/sha256/" + image.manifest.ToHex() + "/link",
                 link);
}

}  // namespace slacker::testing
