#include "snapshotter/images/whole_images.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace slacker {
namespace {

class WholeImagesTest : public ::testing::Test {
 protected:
  // Of layers with these names.
  static StoreReader::GrantedManifest Whole(const std::vector<std::string>& layers,
                                            bool to_anybody = true) {
    StoreReader::GrantedManifest whole;
    std::vector<Digest> diff_ids;
    for (const std::string& layer : layers) {
      diff_ids.push_back(Sha256::Of(layer));
      whole.manifest.layers.push_back({diff_ids.back(), Sha256::Of("record of " + layer)});
    }
    whole.manifest.chain_id = ChainId(diff_ids);
    whole.to_anybody = to_anybody;
    return whole;
  }
  static Digest ChainOf(const std::vector<std::string>& layers) {
    return Whole(layers).manifest.chain_id;
  }
  void Add(const std::string& pull, const StoreReader::GrantedManifest& whole,
           const std::string& repository = "") {
    ++pins_;
    (void)wholes_.BeginAsking(Sha256::Of(pull));  // where a test has not done so itself
    EXPECT_TRUE(wholes_.Add(Sha256::Of(pull), whole, repository, ImagePin([this] { --pins_; })));
  }

  testing::FakeClock clock_;
  int pins_ = 0;
  WholeImages wholes_{&clock_};
};

TEST_F(WholeImagesTest, APrefixHasTheLayersThatTheWholeHas) {
  Add("pull", Whole({"a", "b", "c"}));
  const auto prefix = wholes_.Find(ChainOf({"a", "b"}), "");
  ASSERT_TRUE(prefix.has_value());
  EXPECT_TRUE(prefix->to_anybody);
  EXPECT_EQ(prefix->manifest.chain_id, ChainOf({"a", "b"}));
  ASSERT_EQ(prefix->manifest.layers.size(), 2U);
  EXPECT_EQ(prefix->manifest.layers[1].record, Sha256::Of("record of b"));
  EXPECT_FALSE(wholes_.Find(ChainOf({"b"}), "").has_value());
}

TEST_F(WholeImagesTest, TheWholeIsKnownToo) {
  Add("pull", Whole({"a", "b", "c"}));
  const auto whole = wholes_.Find(ChainOf({"a", "b", "c"}), "");
  ASSERT_TRUE(whole.has_value());
  EXPECT_EQ(whole->manifest.layers.size(), 3U);
  EXPECT_FALSE(wholes_.Find(ChainOf({"a", "b", "c", "d"}), "").has_value());
}

TEST_F(WholeImagesTest, ThoseOfAPrivateOneAreForItsRepositoryAlone) {
  Add("pull", Whole({"a", "b"}, false), "example.org/app");
  EXPECT_TRUE(wholes_.Find(ChainOf({"a"}), "example.org/app").has_value());
  EXPECT_FALSE(wholes_.Find(ChainOf({"a"}), "example.org/other").has_value());
  EXPECT_FALSE(wholes_.Find(ChainOf({"a"}), "").has_value());
}

TEST_F(WholeImagesTest, APrivateOneWithoutARepositoryIsForNobody) {
  Add("pull", Whole({"a", "b"}, false));
  EXPECT_FALSE(wholes_.Find(ChainOf({"a"}), "").has_value());
}

TEST_F(WholeImagesTest, APullIsAskedAboutOnceAMinute) {
  EXPECT_TRUE(wholes_.BeginAsking(Sha256::Of("pull")));
  EXPECT_FALSE(wholes_.BeginAsking(Sha256::Of("pull")));
  clock_.Advance(WholeImages::kKept);
  EXPECT_TRUE(wholes_.BeginAsking(Sha256::Of("pull")));
}

TEST_F(WholeImagesTest, NoMoreThanSoManyPullsAreAskedAboutAtOnce) {
  for (size_t i = 0; i < WholeImages::kMaxPulls; ++i) {
    EXPECT_TRUE(wholes_.BeginAsking(Sha256::Of("pull " + std::to_string(i))));
  }
  EXPECT_FALSE(wholes_.BeginAsking(Sha256::Of("another")));
  Add("pull 0", Whole({"a", "b"}));
  wholes_.End(Sha256::Of("pull 0"));
  EXPECT_TRUE(wholes_.BeginAsking(Sha256::Of("another")));
}

TEST_F(WholeImagesTest, WhatComesAfterItsPullHasEndedIsNotRemembered) {
  ASSERT_TRUE(wholes_.BeginAsking(Sha256::Of("pull")));
  wholes_.End(Sha256::Of("pull"));
  ++pins_;
  EXPECT_FALSE(
      wholes_.Add(Sha256::Of("pull"), Whole({"a", "b"}), "", ImagePin([this] { --pins_; })));
  EXPECT_EQ(pins_, 0);
  EXPECT_FALSE(wholes_.Find(ChainOf({"a"}), "").has_value());
}

TEST_F(WholeImagesTest, AWholeThatIsThePrefixOfALargerOneSpeaksForItself) {
  Add("small", Whole({"a", "b"}));
  Add("large", Whole({"a", "b", "c"}, false), "example.org/app");
  EXPECT_TRUE(wholes_.Find(ChainOf({"a", "b"}), "").has_value());
  wholes_.End(Sha256::Of("large"));
  EXPECT_TRUE(wholes_.Find(ChainOf({"a", "b"}), "").has_value());
}

TEST_F(WholeImagesTest, WhatHasEndedIsPinnedNoMoreAndMayBeAskedAboutAgain) {
  ASSERT_TRUE(wholes_.BeginAsking(Sha256::Of("pull")));
  Add("pull", Whole({"a", "b"}));
  wholes_.End(Sha256::Of("another pull"));
  EXPECT_EQ(pins_, 1);
  wholes_.End(Sha256::Of("pull"));
  EXPECT_EQ(pins_, 0);
  EXPECT_FALSE(wholes_.Find(ChainOf({"a"}), "").has_value());
  EXPECT_TRUE(wholes_.BeginAsking(Sha256::Of("pull")));
}

TEST_F(WholeImagesTest, AMinuteLaterAllIsForgotten) {
  Add("pull", Whole({"a", "b"}));
  clock_.Advance(WholeImages::kKept - std::chrono::seconds(1));
  wholes_.Expire();
  EXPECT_EQ(pins_, 1);
  clock_.Advance(std::chrono::seconds(1));
  wholes_.Expire();
  EXPECT_EQ(pins_, 0);
  EXPECT_FALSE(wholes_.Find(ChainOf({"a"}), "").has_value());
}

TEST_F(WholeImagesTest, ThePrefixOfTwoStaysWhenTheEarlierOneGoes) {
  Add("first", Whole({"a", "b"}));
  Add("second", Whole({"a", "c"}));
  wholes_.End(Sha256::Of("first"));
  EXPECT_EQ(pins_, 1);
  EXPECT_TRUE(wholes_.Find(ChainOf({"a"}), "").has_value());
}

TEST_F(WholeImagesTest, TheSameWholeAgainTakesThePlaceOfTheFirst) {
  Add("first", Whole({"a", "b"}));
  Add("second", Whole({"a", "b"}));
  EXPECT_EQ(pins_, 1);
  EXPECT_TRUE(wholes_.Find(ChainOf({"a"}), "").has_value());
}

}  // namespace
}  // namespace slacker
