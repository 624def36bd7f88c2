#include "backend/layer/tar_reader.h"

#include <gtest/gtest.h>

#include <map>

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
  for (const size_t step : {1, 511, 4096}) {
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

}  // namespace
}  // namespace slacker::testing
