#include "backend/layer/tar_reader.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/support/odd_tars.h"
#include "tests/support/read_layer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"

namespace slacker::testing {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class OddTarTest : public ::testing::TestWithParam<OddTar> {};

TEST_P(OddTarTest, ReadsAndRebuildsToTheSameBytes) {
  const OddTar& tar = GetParam();
  const absl::StatusOr<ReadLayer> read = Read(tar.bytes);
  if (tar.verdict != Verdict::kAccepted) {
    EXPECT_THAT(read, StatusIs(kInvalid));
    return;
  }
  ASSERT_OK(read);
  EXPECT_OK(ValidateLayer(read->layer));
  EXPECT_EQ(read->layer.diff_id, Sha256::Of(tar.bytes));
  EXPECT_EQ(read->layer.tar_size_bytes, tar.bytes.size());
  std::string rebuilt;
  ASSERT_OK_AND_ASSIGN(const Digest digest, Rebuild(*read, &rebuilt));
  EXPECT_EQ(digest, read->layer.diff_id);
  EXPECT_EQ(rebuilt, tar.bytes);
}

TEST_P(OddTarTest, GivesTheSameLayerHoweverTheStreamIsCut) {
  const OddTar& tar = GetParam();
  if (tar.verdict != Verdict::kAccepted) return;
  ASSERT_OK_AND_ASSIGN(const ReadLayer whole, Read(tar.bytes));
  for (const size_t step : {1U, 511U, 4096U}) {
    ASSERT_OK_AND_ASSIGN(const ReadLayer cut, Read(tar.bytes, 4096, {}, step));
    EXPECT_EQ(Describe(cut.layer), Describe(whole.layer)) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(All, OddTarTest, ::testing::ValuesIn(OddTars()),
                         [](const auto& tar) { return tar.param.name; });

TEST(TarReaderTest, SimpleTarGivesItsTree) {
  const std::string content = Noise(10'000);
  ASSERT_OK_AND_ASSIGN(
      const ReadLayer read,
      Read(TarBuilder().Directory("d/", 01777).File("d/f", content).Symlink("d/s", "f").End()));
  const Layer& layer = read.layer;
  ASSERT_EQ(layer.entries.size(), 4U);
  EXPECT_EQ(layer.nodes[0].type, NodeType::kImplicitDirectory);
  EXPECT_EQ(layer.entries[1].name, "d");
  EXPECT_EQ(layer.nodes[1].mode, 01777);
  EXPECT_EQ(layer.nodes[layer.entries[3].node].target, "f");
  ASSERT_EQ(layer.files.size(), 1U);
  EXPECT_EQ(layer.files[0].size_bytes, content.size());
  ASSERT_EQ(layer.chunks.size(), 3U);
  EXPECT_EQ(layer.chunks[2].size_bytes, content.size() - 8192);
  EXPECT_EQ(layer.chunks[1].digest, Sha256::Of(std::string_view(content).substr(4096, 4096)));
}

TEST(TarReaderTest, TruncatedTarIsRefusedUnlessItEndsBetweenEntries) {
  const std::string tar = TarBuilder()
                              .Directory("d")
                              .Pax({{"path", "d/long"}})
                              .File("f", Noise(700))
                              .GnuLong('L', "d/" + std::string(120, 'n'))
                              .File("g", "abc")
                              .End();
  // After an entry, and after one or two blocks of zeros.
  const std::set<size_t> ends = {0, 512, 3072, 5120, 5632, 6144};
  ASSERT_EQ(tar.size(), 6144U);
  for (size_t size = 0; size <= tar.size(); ++size) {
    const absl::StatusOr<ReadLayer> read = Read(tar.substr(0, size));
    if (ends.count(size) != 0) {
      EXPECT_THAT(read, IsOk()) << size;
    } else {
      EXPECT_THAT(read, StatusIs(kInvalid)) << size;
    }
  }
}

TEST(TarReaderTest, HolesAreNotStored) {
  const std::string content = Noise(4096) + std::string(8192, '\0') + Noise(10);
  ASSERT_OK_AND_ASSIGN(const ReadLayer read, Read(TarBuilder().File("f", content).End()));
  ASSERT_EQ(read.layer.chunks.size(), 2U);
  EXPECT_EQ(read.layer.chunks[0].index, 0U);
  EXPECT_EQ(read.layer.chunks[1].index, 3U);
  EXPECT_EQ(read.layer.chunks[1].size_bytes, 10U);
  EXPECT_EQ(read.chunks.size(), 2U);
}

TEST(TarReaderTest, SparseFileOfATebibyteCostsItsDataOnly) {
  std::string map = "2\n549755813888\n1000\n1099511627776\n0\n";
  map.resize(512, '\0');
  const std::string tar = TarBuilder()
                              .Pax({{"GNU.sparse.major", "1"},
                                    {"GNU.sparse.minor", "0"},
                                    {"GNU.sparse.name", "big"},
                                    {"GNU.sparse.realsize", "1099511627776"}})
                              .File("f", map + Noise(1000))
                              .End();
  ASSERT_OK_AND_ASSIGN(const ReadLayer read, Read(tar, 65536));
  EXPECT_OK(ValidateLayer(read.layer));
  EXPECT_EQ(read.layer.files[0].size_bytes, uint64_t{1} << 40);
  ASSERT_EQ(read.layer.chunks.size(), 1U);
  EXPECT_EQ(read.layer.chunks[0].index, uint32_t{1} << 23);
  std::string rebuilt;
  ASSERT_OK(Rebuild(read, &rebuilt));
  EXPECT_EQ(rebuilt, tar);
}

TEST(TarReaderTest, OverwrittenContentStaysAmongTheFiles) {
  ASSERT_OK_AND_ASSIGN(const ReadLayer read,
                       Read(TarBuilder().File("f", "one").File("f", "two").End()));
  ASSERT_EQ(read.layer.files.size(), 2U);
  ASSERT_EQ(read.layer.entries.size(), 2U);
  EXPECT_EQ(read.layer.nodes[read.layer.entries[1].node].file, 1U);
}

TEST(TarReaderTest, EmptyFileHasNoContent) {
  ASSERT_OK_AND_ASSIGN(const ReadLayer read, Read(TarBuilder().File("f", "").End()));
  EXPECT_TRUE(read.layer.files.empty());
  EXPECT_EQ(read.layer.nodes[1].file, kNone);
}

TEST(TarReaderTest, ContentIsNotKeptAmongTheLiterals) {
  const std::string tar = TarBuilder().File("f", Noise(1 << 20)).End() + std::string(65536, '\0');
  ASSERT_OK_AND_ASSIGN(const ReadLayer read, Read(tar));
  EXPECT_LE(read.layer.tar_literals.size(), 512U);
  EXPECT_EQ(read.layer.tar_pieces.size(), 3U);
}

struct LimitCase {
  std::string name;
  TarLimits limits;
  std::string over, within;
};

class TarLimitTest : public ::testing::TestWithParam<LimitCase> {};

TEST_P(TarLimitTest, ExceededIsInvalidArgument) {
  EXPECT_THAT(Read(GetParam().over, 4096, GetParam().limits), StatusIs(kInvalid));
  EXPECT_THAT(Read(GetParam().within, 4096, GetParam().limits), IsOk());
}

std::vector<LimitCase> LimitCases() {
  const auto xattr = [](size_t size) {
    return TarBuilder().Pax({{"SCHILY.xattr.user.a", std::string(size, 'x')}}).File("f", "").End();
  };
  const auto path = [](size_t size) {
    return TarBuilder()
        .Pax({{"path", std::string(size / 2, 'n') + "/" + std::string(size - size / 2 - 1, 'n')}})
        .File("f", "")
        .End();
  };
  const auto files = [](int count) {
    TarBuilder tar;
    for (int i = 0; i < count; ++i) tar.File("f", "");
    return tar.End();
  };
  TarLimits entries;
  entries.max_entries = 4;
  TarLimits metadata;
  metadata.max_metadata_bytes = 1500;
  TarLimits file;
  file.max_file_bytes = 100;
  TarLimits small_path;
  small_path.max_path_bytes = 100;
  TarLimits lookups;
  lookups.max_lookups = 100;
  // Every entry walks the links again.
  const auto links = [](int count) {
    TarBuilder tar;
    tar.Directory("0/0/0/0/0");
    for (char link = 'b'; link < 'z'; ++link) tar.Symlink({link}, {static_cast<char>(link - 1)});
    tar.Symlink("a", "0/0/0/0/0");
    for (int i = 0; i < count; ++i) {
      tar.File((i % 2 == 0 ? "y/f" : "0/f") + std::to_string(i), "");
    }
    return tar.End();
  };
  const auto xattrs = [](int count) {
    std::vector<std::pair<std::string, std::string>> records;
    for (int i = 0; i < count; ++i)
      records.push_back({"SCHILY.xattr.user." + std::to_string(i), "x"});
    return TarBuilder().Pax(records).File("f", "").End();
  };
  TarLimits small_xattr;
  small_xattr.max_xattr_bytes = 100;
  return {
      {"Entries", entries, files(5), files(3)},
      {"ImplicitDirectories", entries, TarBuilder().File("a/b/c/d/e", "").End(),
       TarBuilder().File("a/b/c", "").End()},
      {"Metadata", metadata, xattr(3000), xattr(300)},
      {"TrailingBytes", metadata, TarBuilder().End() + Noise(2000), TarBuilder().End() + "rest"},
      {"FileSize", file, TarBuilder().File("f", Noise(101)).End(),
       TarBuilder().File("f", Noise(100)).End()},
      {"Path", small_path, path(101), path(100)},
      {"Lookups", lookups, links(20), links(2)},
      {"Xattrs", {}, xattrs(4097), xattrs(4096)},
      {"Xattr", small_xattr, xattr(101), xattr(100)},
      {"ExtendedHeader", {}, xattr(1 << 20), xattr(60'000)},
  };
}

INSTANTIATE_TEST_SUITE_P(All, TarLimitTest, ::testing::ValuesIn(LimitCases()),
                         [](const auto& limit) { return limit.param.name; });

TEST(TarReaderTest, PathBeyondThatOfTheKernelIsRefused) {
  std::string path = "d";
  while (path.size() <= 4095) path += "/d";
  EXPECT_THAT(Read(TarBuilder().Pax({{"path", path}}).File("f", "").End()), StatusIs(kInvalid));
}

TEST(TarReaderTest, WrongChunkSizeIsRefused) {
  for (const uint32_t size : {0U, 2048U, 5000U, 512U * 1024}) {
    EXPECT_THAT(Read("", size), StatusIs(kInvalid)) << size;
  }
}

TEST(TarReaderTest, BytesThatAreNoTarAreRefused) {
  EXPECT_THAT(Read(Noise(10'000)), StatusIs(kInvalid));
  EXPECT_THAT(Read("x"), StatusIs(kInvalid));
}

TEST(TarReaderTest, ErrorNamesTheEntry) {
  EXPECT_THAT(Read(TarBuilder().Link("a/new", "a/old").End()), StatusIs(kInvalid, "a/new"));
}

TEST(TarReaderTest, FailureOfTheSourceIsReturned) {
  const std::string tar = TarBuilder().Directory("d").File("f", Noise(5000)).End();
  for (size_t size = 0; size < tar.size(); size += 100) {
    StringSource source(std::string_view(tar).substr(0, size), 512,
                        absl::UnavailableError("the registry is gone"));
    EXPECT_THAT(ReadLayerTar(source, 4096, {}, [](auto&&...) { return absl::OkStatus(); }),
                StatusIs(absl::StatusCode::kUnavailable, "registry"))
        << size;
  }
}

TEST(TarReaderTest, FailureOfTheSinkIsReturned) {
  const std::string tar = TarBuilder().File("f", Noise(5000)).File("g", "abc").End();
  for (int fail = 0; fail < 3; ++fail) {
    StringSource source(tar);
    int calls = 0;
    EXPECT_THAT(ReadLayerTar(source, 4096, {},
                             [&](auto&&...) {
                               return calls++ == fail ? absl::ResourceExhaustedError("store full")
                                                      : absl::OkStatus();
                             }),
                StatusIs(absl::StatusCode::kResourceExhausted, "store full"));
    EXPECT_EQ(calls, fail + 1);
  }
}

class RebuildTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(read_, Read(TarBuilder().File("f", Noise(10'000)).End()));
  }
  absl::StatusOr<Digest> Run(const ChunkReader& chunks, const TarSink& sink) {
    absl::StatusOr<TarPartReader> tar = OpenTar(read_);
    if (!tar.ok()) return tar.status();
    return RebuildTar(read_.layer, *tar, chunks, sink);
  }
  std::string Chunk(uint32_t chunk) { return read_.chunks.at(read_.layer.chunks[chunk].digest); }

  ReadLayer read_;
};

TEST_F(RebuildTest, FailureOfAChunkIsReturned) {
  EXPECT_THAT(Run(
                  [&](uint32_t chunk) -> absl::StatusOr<std::string> {
                    if (chunk == 1) return absl::UnavailableError("store away");
                    return Chunk(chunk);
                  },
                  [](std::string_view) { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kUnavailable, "store away"));
}

TEST_F(RebuildTest, ChunkOfAnotherLengthIsDataLoss) {
  EXPECT_THAT(Run([&](uint32_t chunk) { return Chunk(chunk) + "x"; },
                  [](std::string_view) { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(RebuildTest, OtherContentGivesAnotherDigest) {
  ASSERT_OK_AND_ASSIGN(const Digest digest,
                       Run([&](uint32_t chunk) { return std::string(Chunk(chunk).size(), 'x'); },
                           [](std::string_view) { return absl::OkStatus(); }));
  EXPECT_NE(digest, read_.layer.diff_id);
}

TEST_F(RebuildTest, FailureOfTheSinkIsReturned) {
  EXPECT_THAT(Run([&](uint32_t chunk) { return Chunk(chunk); },
                  [](std::string_view) { return absl::ResourceExhaustedError("disk full"); }),
              StatusIs(absl::StatusCode::kResourceExhausted, "disk full"));
}

}  // namespace
}  // namespace slacker::testing
