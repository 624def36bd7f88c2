#include "backend/base/digest.h"

#include <gtest/gtest.h>

#include <vector>

#include "backend/base/status.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::StatusIs;

// FIPS 180-2, appendix B.1.
constexpr char kAbc[] = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(DigestTest, TheStandardsExampleHashesToItsKnownValue) {
  EXPECT_EQ(Sha256::Of("abc").ToString(), kAbc);
  Sha256 incremental;
  incremental.Update("a");
  incremental.Update("bc");
  EXPECT_EQ(incremental.Finish().ToString(), kAbc);
  incremental.Update("abc");
  EXPECT_EQ(incremental.Finish().ToString(), kAbc) << "Finish starts afresh";
}

TEST(DigestTest, ParseReadsWhatToStringWrites) {
  ASSERT_OK_AND_ASSIGN(const Digest digest, Digest::Parse(kAbc));
  EXPECT_EQ(digest, Sha256::Of("abc"));
}

TEST(DigestTest, AnythingElseIsRefused) {
  const std::string good = kAbc;
  for (const std::string& bad :
       {std::string(), good.substr(7), "sha512:" + good.substr(7), good + "0", good.substr(0, 70),
        "sha256:" + std::string(64, 'A'), "sha256:" + std::string(64, 'g'), good + "\n"}) {
    EXPECT_THAT(Digest::Parse(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(ChainIdTest, IsTheDiffIdForOneLayerAndHashesPairsAbove) {
  const std::vector<Digest> layers = {Sha256::Of("a"), Sha256::Of("b"), Sha256::Of("c")};
  EXPECT_EQ(ChainId(std::span(layers).first(1)), layers[0]);
  const Digest two = Sha256::Of(layers[0].ToString() + " " + layers[1].ToString());
  EXPECT_EQ(ChainId(std::span(layers).first(2)), two);
  EXPECT_EQ(ChainId(layers), Sha256::Of(two.ToString() + " " + layers[2].ToString()));
}

}  // namespace
}  // namespace slacker
