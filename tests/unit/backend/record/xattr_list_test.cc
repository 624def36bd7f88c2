#include "backend/record/xattr_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace slacker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<Xattr> Contents(const XattrList& list) { return {list.begin(), list.end()}; }

const Xattr kFirst = {"user.a", std::string("\0\xff", 2)};
const Xattr kSecond = {"user.b", ""};

TEST(XattrListTest, ItGivesBackWhatItWasMadeOf) {
  EXPECT_THAT(Contents(XattrList()), IsEmpty());
  EXPECT_TRUE(XattrList::Of(std::vector<Xattr>()).empty());
  const XattrList list = XattrList::Of(std::vector<Xattr>{kFirst, kSecond});
  EXPECT_EQ(list.size(), 2u);
  EXPECT_THAT(Contents(list), ElementsAre(kFirst, kSecond));
  EXPECT_EQ(list, XattrList({kFirst, kSecond}));
  EXPECT_FALSE(list == XattrList({kFirst}));
  EXPECT_FALSE(list == XattrList({kSecond, kFirst}));
}

TEST(XattrListTest, CopiesAndMovesHaveTheSame) {
  XattrList list({kFirst});
  XattrList copy = list;
  list = XattrList({kSecond});
  EXPECT_THAT(Contents(copy), ElementsAre(kFirst));
  const XattrList moved = std::move(copy);
  EXPECT_THAT(Contents(moved), ElementsAre(kFirst));
  list = moved;
  list = *&list;
  EXPECT_THAT(Contents(list), ElementsAre(kFirst));
}

TEST(XattrListTest, WhatAnArenaKeepsIsThereOnce) {
  Arena arena;
  for (int i = 0; i < 5; ++i) {  // at odd and at even places
    (void)arena.Allocate(1);
    XattrList list({kFirst, kSecond});
    list.KeepIn(&arena);
    list.KeepIn(&arena);
    const XattrList copy = list;
    EXPECT_THAT(Contents(copy), ElementsAre(kFirst, kSecond));
    EXPECT_TRUE(copy.begin() == list.begin());
    list = XattrList();
    EXPECT_THAT(Contents(copy), ElementsAre(kFirst, kSecond));
  }
}

TEST(XattrListTest, WhatIsTooLongForAnArenaStaysItsOwn) {
  Arena arena;
  for (const size_t bytes : {Arena::kBlockBytes - 32, Arena::kBlockBytes, 3 * Arena::kBlockBytes}) {
    XattrList list({{"user.long", std::string(bytes, 'v')}});
    list.KeepIn(&arena);
    const XattrList copy = list;
    EXPECT_EQ((*copy.begin()).second.size(), bytes);
    EXPECT_EQ(copy, list);
  }
}

}  // namespace
}  // namespace slacker
