// List: filters over the database, streaming, and calls from inside the walk.
#include <gmock/gmock.h>

#include <set>

#include "tests/unit/snapshotter/core/core_fixture.h"

namespace slacker::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class ListTest : public CoreTest {
 protected:
  std::vector<std::string> Names(const std::vector<std::string>& filters) {
    std::vector<std::string> names;
    for (const SnapshotInfo& info : ListAll(filters)) names.push_back(info.name);
    return names;
  }
  void MakeFamily() {
    MakeCommitted("base", "", {{std::string(kRefLabel), "r1"}});
    MakeCommitted("top", "base", {{std::string(kRefLabel), "r2"}});
    ASSERT_OK(core_->Prepare("active", "top", {{"color", "red"}}));
    ASSERT_OK(core_->View("view", "top", {}));
  }
};

TEST_F(ListTest, FiltersSelect) {
  MakeFamily();
  EXPECT_THAT(Names({}), UnorderedElementsAre("base", "top", "active", "view"));
  EXPECT_THAT(Names({""}), UnorderedElementsAre("base", "top", "active", "view"));
  EXPECT_THAT(Names({"kind==active"}), ElementsAre("active"));
  EXPECT_THAT(Names({"name==top"}), ElementsAre("top"));
  EXPECT_THAT(Names({"name==top,kind==view"}), IsEmpty());
  EXPECT_THAT(Names({"parent==top"}), UnorderedElementsAre("active", "view"));
  EXPECT_THAT(Names({"parent==\"\""}), ElementsAre("base"));
  EXPECT_THAT(Names({"parent!=\"\""}), UnorderedElementsAre("top", "active", "view"));
  EXPECT_THAT(Names({"parent==nobody"}), IsEmpty());
  EXPECT_THAT(Names({"labels.color"}), ElementsAre("active"));
  EXPECT_THAT(Names({"name==base", "parent==top", "name==active"}),
              UnorderedElementsAre("base", "active", "view"));
  EXPECT_THAT(Names({"name~=/^(b|v)/"}), UnorderedElementsAre("base", "view"));
}

TEST_F(ListTest, ContainerdsOwnFilterFindsByReferenceAndParent) {
  MakeFamily();
  const std::string ref = R"(labels."containerd.io/snapshot.ref"==)";
  EXPECT_THAT(Names({ref + "r2,parent==\"base\""}), ElementsAre("top"));
  EXPECT_THAT(Names({ref + "r1,parent==\"\""}), ElementsAre("base"));
  EXPECT_THAT(Names({ref + "r1,parent==\"base\""}), IsEmpty());
  EXPECT_THAT(Names({ref + "r2"}), ElementsAre("top"));
}

TEST_F(ListTest, TheReferenceIndexFollowsTheLabel) {
  MakeFamily();
  const std::string ref = R"(labels."containerd.io/snapshot.ref"==)";
  ASSERT_OK(core_->Update("top", {{std::string(kRefLabel), "r3"}}, {}));
  EXPECT_THAT(Names({ref + "r2"}), IsEmpty());
  EXPECT_THAT(Names({ref + "r3"}), ElementsAre("top"));
  ASSERT_OK(core_->Update("top", {}, {{"labels." + std::string(kRefLabel)}}));
  EXPECT_THAT(Names({ref + "r3"}), IsEmpty());
  EXPECT_THAT(Names({R"(labels."containerd.io/snapshot.ref"!=r1)"}),
              UnorderedElementsAre("top", "active", "view"));
}

TEST_F(ListTest, MalformedFiltersAreInvalidBeforeAnythingIsVisited) {
  MakeFamily();
  bool visited = false;
  EXPECT_THAT(core_->List({"name==base", "name="},
                          [&](const SnapshotInfo&) {
                            visited = true;
                            return absl::OkStatus();
                          }),
              StatusIs(kInvalid));
  EXPECT_FALSE(visited);
}

TEST_F(ListTest, TheVisitorMayCallAnythingAndSeesWhatStatSees) {
  MakeFamily();
  int visited = 0;
  ASSERT_OK(core_->List({}, [&](const SnapshotInfo& info) {
    auto stat = core_->Stat(info.name);
    RETURN_IF_ERROR(stat.status());
    EXPECT_EQ(*stat, info);
    ++visited;
    RETURN_IF_ERROR(core_->Prepare("during " + info.name, "", {}).status());
    return core_->Cleanup();
  }));
  EXPECT_EQ(visited, 4);
}

TEST_F(ListTest, TheVisitorsErrorEndsTheWalk) {
  MakeFamily();
  int visited = 0;
  EXPECT_THAT(core_->List({},
                          [&](const SnapshotInfo&) {
                            ++visited;
                            return Cancelled("enough");
                          }),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(visited, 1);
}

TEST_F(ListTest, ManySnapshotsComeOnceEachEvenWhenSomeGoMeanwhile) {
  constexpr int kCount = 350;
  for (int i = 0; i < kCount; ++i) ASSERT_OK(core_->View(std::to_string(i), "", {}));
  std::set<std::string> seen;
  ASSERT_OK(core_->List({}, [&](const SnapshotInfo& info) {
    EXPECT_TRUE(seen.insert(info.name).second) << info.name;
    if (info.name == "0") return core_->Remove("349");
    return absl::OkStatus();
  }));
  EXPECT_EQ(seen.size(), kCount - 1U);
}

TEST_F(ListTest, EveryAncestorIsListed) {
  MakeFamily();
  ASSERT_OK(core_->Prepare("late", "", {}));
  ASSERT_OK(core_->Prepare("later", "", {}));
  ASSERT_OK(core_->Commit("high", "later", {}, ""));
  ASSERT_OK(core_->Commit("low", "late", {}, "high"));
  std::set<std::string> names;
  for (const SnapshotInfo& info : ListAll()) names.insert(info.name);
  for (const SnapshotInfo& info : ListAll()) {
    EXPECT_TRUE(info.parent.empty() || names.contains(info.parent)) << info.name;
  }
}

}  // namespace
}  // namespace slacker::testing
