// Objects that are not the store's, or only look like it, in collections.
#include "backend/upkeep/fsck.h"
#include "backend/upkeep/gc.h"
#include "tests/support/faulty_backend.h"
#include "tests/unit/backend/upkeep/upkeep_fixture.h"

namespace slacker {
namespace {

using testing::FaultyBackend;
using ::testing::IsEmpty;
using testing::SampleChain;
using ::testing::SizeIs;

class GcForeignTest : public testing::UpkeepTest {};

TEST_F(GcForeignTest, WhatOnlyLooksLikeAnObjectIsReportedAndLeftAloneAlsoInAStoreThatIsFull) {
  const std::string hex = Digest().ToHex();
  const std::vector<std::string> junk = {"boot/" + hex + "_",         "grants/" + hex + "/a_b/c",
                                         "leases/a_b/images",         "manifests/" + hex + "/a/b",
                                         "manifests/" + hex + "/a_b", "traces/" + hex + "/a_b"};
  for (uint64_t n = 1, calls = 1; n <= calls; ++n) {
    for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
    ASSERT_OK(Publish("one", {base_}));
    ASSERT_OK(Publish("two", {base_, two_}));
    ASSERT_OK(Rm("two"));
    for (const std::string& name : junk) ASSERT_OK(store_->Put(name, EncodeReferences({})));
    FaultyBackend faulty(store_);
    faulty.FailCall(n, absl::ResourceExhaustedError("full"));
    const auto report = CollectGarbage(faulty, {.grace_seconds = 0});
    calls = faulty.calls();
    EXPECT_THAT(Gc(0).foreign, ::testing::ElementsAreArray(junk));
    for (const std::string& name : junk) EXPECT_OK(store_->Stat(name).status());
    EXPECT_THAT(Names("trash/"), IsEmpty());
    ExpectSound();
    if (HasFailure()) return;
  }
}

// Names that cannot be condemned, or would come back from trash/ and removed/ as others.
TEST_F(GcForeignTest, WhatHasNoNameThatCanBeCondemnedIsReportedAndLeftAlone) {
  ASSERT_OK(Publish("one", {base_}));
  const std::string hex = SampleChain({base_}).ToHex();
  const std::string id(32, 'a');
  const std::vector<std::string> junk = {
      "leases/" + std::string(220, 'b') + "/images",
      "manifests/" + Digest().ToHex() + "/a." + id,
      "manifests/" + Digest().ToHex() + "/" + std::string(150, 'c'),
      "removed/a__b",
      "removed/boot_" + hex + "_",
      "removed/foo",
      "removed/manifests_" + hex + "_." + id,
      "trash/a__b." + id,
      "trash/manifests_" + hex + "_",
      "trash/manifests_" + hex + "__." + id};
  for (const std::string& name : junk) ASSERT_OK(store_->Put(name, EncodeReferences({})));
  store_->Advance(kDaySeconds);
  // It ends, whatever it meets.
  FaultyBackend ending(store_);
  ending.FailFrom(10'000, absl::UnavailableError("for ever"));
  ASSERT_OK_AND_ASSIGN(const GcReport collected, CollectGarbage(ending, {.grace_seconds = 0}));
  EXPECT_THAT(collected.foreign, ::testing::ElementsAreArray(junk));
  for (const std::string& name : junk) EXPECT_OK(store_->Stat(name).status());
  WriteLease({base_, one_});  // looks for manifests below removed/
  EXPECT_THAT(Gc().foreign, ::testing::ElementsAreArray(junk));
  ASSERT_OK_AND_ASSIGN(const FsckReport report, CheckStore(store_, {}, /*repair=*/false));
  EXPECT_THAT(report.foreign, ::testing::IsSupersetOf(junk));
  ExpectSound();
}

TEST_F(GcForeignTest, ForeignObjectsAreReportedAndLeftAlone) {
  ASSERT_OK(store_->Put("boot.txt", "mine"));
  ASSERT_OK(store_->Put("packs/readme", "mine"));
  ASSERT_OK(store_->Put("trash/boot.txt", ""));
  ASSERT_OK(store_->Put("traces/x", "mine"));
  CollectAll();
  EXPECT_THAT(Gc(0).foreign, ::testing::UnorderedElementsAre("boot.txt", "packs/readme",
                                                             "trash/boot.txt", "traces/x"));
  EXPECT_THAT(Names(), SizeIs(4));
}

}  // namespace
}  // namespace slacker
