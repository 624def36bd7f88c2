#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "backend/source/docker_archive.h"
#include "backend/source/layout_source.h"
#include "backend/source/tar_file.h"
#include "backend/source/verifying_source.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::RandomBytes;
using testing::StatusIs;
using testing::TarBuilder;
using testing::WriteFileOrDie;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
const Platform kAmd64 = {"linux", "amd64", ""};

class TarFileTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::string> Read(const std::string& tar, const std::string& name) {
    WriteFileOrDie(dir_ / "a.tar", tar);
    auto file = OpenTarFile(dir_ / "a.tar");
    if (!file.ok()) return file.status();
    return ReadLayoutFile(**file, name, 10 << 20);
  }
  const testing::TempDir dir_;
};

TEST_F(TarFileTest, MembersAreReadAtTheirPlaces) {
  const std::string big = RandomBytes(3'000'000, 1);
  const std::string tar = TarBuilder()
                              .Directory("d")
                              .File("d/a", "one")
                              .File("./b", big)
                              .Pax({{"comment", "global"}}, 'g')
                              .Pax({{"path", "d/" + std::string(300, 'x')}})
                              .File("short", "two")
                              .GnuLong('L', std::string(9000, 'y'))
                              .File("cut", "three")
                              .File("empty", "")
                              .End();
  EXPECT_EQ(*Read(tar, "d/a"), "one");
  EXPECT_EQ(*Read(tar, "b"), big);
  EXPECT_EQ(*Read(tar, "d/" + std::string(300, 'x')), "two");
  EXPECT_EQ(*Read(tar, std::string(9000, 'y')), "three");
  EXPECT_EQ(*Read(tar, "empty"), "");
  for (const char* name : {"", "d", "short", "./b", "/b", "d/../b", "c"}) {
    EXPECT_THAT(Read(tar, name), StatusIs(absl::StatusCode::kNotFound)) << name;
  }
}

TEST_F(TarFileTest, LinksLeadToMembersOnly) {
  const std::string tar = TarBuilder()
                              .File("x/layer.tar", "content")
                              .Symlink("y/layer.tar", "../x/layer.tar")
                              .Link("z", "./y/layer.tar")
                              .Symlink("up", "../outside")
                              .Symlink("root", "/etc/passwd")
                              .Symlink("loop", "loop")
                              .Symlink("nowhere", "gone")
                              .Add(testing::MakeBlock("fifo", '6'))
                              .Add(testing::MakeDevice("device", '3', 1, 3))
                              .End();
  EXPECT_EQ(*Read(tar, "y/layer.tar"), "content");
  EXPECT_EQ(*Read(tar, "z"), "content");
  for (const char* name : {"up", "root"}) {
    EXPECT_THAT(Read(tar, name), StatusIs(kInvalid, "leads out")) << name;
  }
  EXPECT_THAT(Read(tar, "loop"), StatusIs(kInvalid, "too many links"));
  EXPECT_THAT(Read(tar, "nowhere"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Read(tar, "fifo"), StatusIs(kInvalid, "regular"));
  EXPECT_THAT(Read(tar, "device"), StatusIs(kInvalid, "regular"));
}

TEST_F(TarFileTest, TwoFilesOfOneNameAreRefused) {
  EXPECT_THAT(Read(TarBuilder().File("a", "1").File("a", "2").End(), "a"),
              StatusIs(kInvalid, "two files"));
  EXPECT_THAT(Read(TarBuilder().File("a", "1").File("./a", "1").End(), "a"),
              StatusIs(kInvalid, "two files"));
  EXPECT_EQ(*Read(TarBuilder().Directory("d").Directory("d").File("a", "1").End(), "a"), "1");
}

TEST_F(TarFileTest, WhatIsNoPlainTarIsRefused) {
  EXPECT_THAT(OpenTarFile(dir_ / "nowhere"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(OpenTarFile(""), StatusIs(kInvalid));
  EXPECT_THAT(OpenTarFile(dir_.path()), StatusIs(kInvalid, "regular"));
  ASSERT_EQ(mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(OpenTarFile(dir_ / "fifo"), StatusIs(kInvalid, "regular"));
  const std::string tar = TarBuilder().File("a", "1").End();
  EXPECT_THAT(Read(testing::Gzip(tar), "a"), StatusIs(kInvalid, "compressed"));
  EXPECT_THAT(Read(testing::Zstd(tar), "a"), StatusIs(kInvalid, "compressed"));
  EXPECT_THAT(Read("", "a"), StatusIs(kInvalid, "end mark"));
  EXPECT_THAT(Read(std::string(5000, 'x'), "a"), StatusIs(kInvalid));
  testing::TarBlock block = testing::MakeBlock("a");
  block.size = int64_t{1} << 40;
  EXPECT_THAT(Read(TarBuilder().Add(block, "x", true).End(), "a"), StatusIs(kInvalid, "truncated"));
  EXPECT_THAT(Read(TarBuilder().GnuLong('L', std::string(5 << 20, 'y')).File("a", "").End(), "a"),
              StatusIs(kInvalid));
}

TEST_F(TarFileTest, OneThatIsCutAnywhereIsRefused) {
  const std::string tar = TarBuilder()
                              .File("a", std::string(700, 'a'))
                              .Pax({{"path", "b"}})
                              .File("x", std::string(100, 'b'))
                              .Directory("d")
                              .End();
  ASSERT_EQ(Read(tar, "b")->size(), 100u);
  for (size_t size = 0; size <= tar.size() - 1024; size += size % 512 == 1 ? 255 : 1) {
    ASSERT_THAT(Read(tar.substr(0, size), "b"), StatusIs(kInvalid)) << size;
  }
  // One block of zeros is an end.
  EXPECT_EQ(Read(tar.substr(0, tar.size() - 512), "b")->size(), 100u);
}

TEST_F(TarFileTest, OneThatShrinksWhileItIsReadIsDataLoss) {
  WriteFileOrDie(dir_ / "a.tar", TarBuilder().File("a", RandomBytes(3'000'000, 1)).End());
  ASSERT_OK_AND_ASSIGN(const auto file, OpenTarFile(dir_ / "a.tar"));
  ASSERT_OK_AND_ASSIGN(const auto stream, file->Open("a"));
  ASSERT_OK(stream->Next());
  std::filesystem::resize_file(dir_ / "a.tar", 1'500'000);
  EXPECT_THAT(ReadAll(*stream, 10 << 20), StatusIs(absl::StatusCode::kDataLoss, "shorter"));
}

// An archive of every file below a directory.
std::string TarOf(const std::string& directory, const std::string& prefix = "") {
  TarBuilder tar;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    const std::string name = prefix + entry.path().lexically_relative(directory).string();
    if (entry.is_directory()) {
      tar.Directory(name);
    } else {
      tar.File(name, testing::ReadFileOrDie(entry.path()));
    }
  }
  return tar.End();
}

// What is in an image: the tars of its layers, unpacked.
absl::StatusOr<std::vector<std::string>> LayersOf(ImageSource& source) {
  auto image = ResolveImage(source, kAmd64);
  if (!image.ok()) return image.status();
  std::vector<std::string> blobs;
  for (const Descriptor& layer : image->layers) {
    auto stream = source.OpenBlob(layer);
    if (!stream.ok()) return stream.status();
    auto blob = ReadAll(**stream, 10 << 20);
    if (!blob.ok()) return blob.status();
    blobs.push_back(*std::move(blob));
  }
  return blobs;
}

class ArchiveTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<std::string>> ReadOci(const std::string& tar,
                                                   const std::string& tag = "v1") {
    WriteFileOrDie(dir_ / "a.tar", tar);
    auto source = OpenOciArchiveSource(dir_ / "a.tar", tag);
    if (!source.ok()) return source.status();
    return LayersOf(**source);
  }
  absl::StatusOr<std::vector<std::string>> ReadDocker(const std::string& tar,
                                                      const std::string& tag = "") {
    WriteFileOrDie(dir_ / "a.tar", tar);
    auto source = OpenDockerArchiveSource(dir_ / "a.tar", tag);
    if (!source.ok()) return source.status();
    return LayersOf(**source);
  }

  // A manifest.json.
  static std::string DockerManifest(const std::string& config,
                                    const std::vector<std::string>& layers,
                                    const std::vector<std::string>& names = {"app:v1"}) {
    return nlohmann::json::array({{{"Config", config}, {"RepoTags", names}, {"Layers", layers}}})
        .dump();
  }
  std::string Config(const std::vector<std::string>& tars) {
    nlohmann::json ids = nlohmann::json::array();
    for (const std::string& tar : tars) ids.push_back(Sha256::Of(tar).ToString());
    return nlohmann::json(
               {{"os", "linux"}, {"architecture", "amd64"}, {"rootfs", {{"diff_ids", ids}}}})
        .dump();
  }

  const testing::TempDir dir_;
  const std::string one_ = TarBuilder().File("a", "one").End();
  const std::string two_ = TarBuilder().File("b", RandomBytes(100'000, 1)).End();
  const std::string config_ = Config({one_, two_});
  const std::string config_name_ = Sha256::Of(config_).ToHex() + ".json";
};

TEST_F(ArchiveTest, AnOciArchiveIsALayout) {
  testing::OciLayout layout(dir_ / "layout");
  layout.AddImage({testing::PlainLayer(one_), testing::GzipLayer(two_)}, "v1");
  for (const char* prefix : {"", "./"}) {
    ASSERT_OK_AND_ASSIGN(const auto layers, ReadOci(TarOf(layout.directory(), prefix)));
    EXPECT_EQ(layers, (std::vector<std::string>{one_, testing::Gzip(two_)}));
  }
  EXPECT_THAT(ReadOci(TarOf(layout.directory()), "v2"),
              StatusIs(absl::StatusCode::kNotFound, "v1"));
  EXPECT_EQ((*OpenOciArchiveSource(dir_ / "a.tar", "v1"))->Name(),
            "oci-archive:" + dir_ / "a.tar" + ":v1");
  EXPECT_THAT(ReadOci(TarBuilder().End()), StatusIs(absl::StatusCode::kNotFound, "oci-layout"));
}

TEST_F(ArchiveTest, AChangedBlobOfAnArchiveIsDataLoss) {
  testing::OciLayout layout(dir_ / "layout");
  layout.AddImage({testing::PlainLayer(one_)}, "v1");
  WriteFileOrDie(layout.BlobPath(Sha256::Of(one_)), TarBuilder().File("a", "onf").End());
  EXPECT_THAT(ReadOci(TarOf(layout.directory())), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ArchiveTest, ADockerArchiveOfTheOldShapeIsRead) {
  const std::string tar =
      TarBuilder()
          .File("x/layer.tar", one_)
          .Symlink("y/layer.tar", "../x/layer.tar")
          .File("z/layer.tar", testing::Gzip(two_))
          .File("c.json", Config({one_, one_, two_}))
          .File("manifest.json",
                DockerManifest("c.json", {"x/layer.tar", "y/layer.tar", "z/layer.tar"}))
          .End();
  const std::vector<std::string> expected = {one_, one_, testing::Gzip(two_)};
  for (const char* tag : {"", "app:v1", "docker.io/library/app:v1"}) {
    ASSERT_OK_AND_ASSIGN(const auto layers, ReadDocker(tar, tag));
    EXPECT_EQ(layers, expected);
  }
  EXPECT_THAT(ReadDocker(tar, "app"), StatusIs(absl::StatusCode::kNotFound, "app:v1"));
}

TEST_F(ArchiveTest, ADockerArchiveOfTheNewShapeIsRead) {
  testing::OciLayout layout(dir_ / "layout");
  const auto image = layout.AddImage({testing::PlainLayer(one_), testing::GzipLayer(two_)}, "v1");
  const auto path = [](const Digest& digest) { return "blobs/sha256/" + digest.ToHex(); };
  WriteFileOrDie(layout.directory() + "/manifest.json",
                 DockerManifest(path(image.config),
                                {path(Sha256::Of(one_)), path(Sha256::Of(testing::Gzip(two_)))}));
  ASSERT_OK_AND_ASSIGN(const auto layers, ReadDocker(TarOf(layout.directory())));
  EXPECT_EQ(layers, (std::vector<std::string>{one_, testing::Gzip(two_)}));
}

TEST_F(ArchiveTest, WrongDigestsInADockerArchiveAreDataLoss) {
  const auto archive = [&](const std::string& config, const std::string& layer) {
    return TarBuilder()
        .File(config_name_, config)
        .File("1", layer)
        .File("2", two_)
        .File("manifest.json", DockerManifest(config_name_, {"1", "2"}))
        .End();
  };
  ASSERT_OK(ReadDocker(archive(config_, one_)));
  EXPECT_THAT(ReadDocker(archive(config_ + " ", one_)), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ReadDocker(archive(config_, two_)), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ArchiveTest, SeveralImagesOfADockerArchiveNeedAName) {
  nlohmann::json items = nlohmann::json::array();
  for (const char* name : {"a:1", "b:2"}) {
    items.push_back({{"Config", name}, {"RepoTags", {name}}, {"Layers", {"1"}}});
  }
  items.push_back({{"Config", "a:1"}, {"RepoTags", nullptr}, {"Layers", {"1"}}});
  const std::string tar = TarBuilder()
                              .File("1", one_)
                              .File("a:1", Config({one_}))
                              .File("b:2", Config({one_}))
                              .File("manifest.json", items.dump())
                              .End();
  EXPECT_THAT(ReadDocker(tar), StatusIs(kInvalid, "a:1, b:2"));
  EXPECT_OK(ReadDocker(tar, "b:2"));
}

TEST_F(ArchiveTest, MalformedDockerArchivesAreRefused) {
  for (const char* manifest :
       {"", "{}", "[1]", "[{}]", R"([{"Config":1}])", R"([{"Config":"c","RepoTags":1}])",
        R"([{"Config":"c","Layers":"x"}])", R"([{"Config":"c","Layers":[1]}])",
        R"([{"Config":"c","Layers":["1"]}])", R"([{"Config":"../1","Layers":["1"]}])"}) {
    const auto read = ReadDocker(
        TarBuilder().File("1", one_).File("c", config_).File("manifest.json", manifest).End());
    EXPECT_FALSE(read.ok()) << manifest;
    EXPECT_TRUE(absl::IsInvalidArgument(read.status()) || absl::IsNotFound(read.status()))
        << read.status();
  }
  EXPECT_THAT(ReadDocker(TarBuilder().File("1", one_).End()),
              StatusIs(absl::StatusCode::kNotFound, "manifest.json"));
  EXPECT_THAT(ReadDocker(TarBuilder()
                             .File("c", config_)
                             .File("manifest.json", DockerManifest("c", {"1", "2"}))
                             .End()),
              StatusIs(absl::StatusCode::kNotFound, "there is no 1"));
}

// Whatever is cut off, an archive is whole or refused.
TEST_F(ArchiveTest, ACutDockerArchiveIsRefused) {
  const std::string tar = TarBuilder()
                              .File("manifest.json", DockerManifest("c", {"1"}))
                              .File("c", Config({one_}))
                              .File("1", one_)
                              .End();
  ASSERT_OK(ReadDocker(tar));
  for (size_t size = 0; size <= tar.size() - 1024; size += 101) {
    ASSERT_THAT(ReadDocker(tar.substr(0, size)), StatusIs(kInvalid)) << size;
  }
}

}  // namespace
}  // namespace slacker
