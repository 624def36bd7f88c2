// Every RPC × failure → status code, and that a refused call changes nothing.
#include <gmock/gmock.h>

#include <cerrno>
#include <functional>
#include <map>

#include "snapshotter/core/requests.h"
#include "tests/unit/snapshotter/core/core_fixture.h"

namespace slacker::testing {
namespace {

using ::absl::StatusCode;

class CodesTest : public CoreTest {
 protected:
  CodesTest() {
    MakeCommitted("base");
    EXPECT_OK(core_->Prepare("active", "base", {}));
    EXPECT_OK(core_->View("view", "base", {}));
    EXPECT_OK(core_->Prepare("alone", "", {}));
  }

  // Empty parts where the database cannot be read.
  std::pair<std::vector<SnapshotInfo>, std::vector<std::string>> State() {
    std::vector<SnapshotInfo> infos;
    (void)core_->List({}, [&infos](const SnapshotInfo& info) {
      infos.push_back(info);
      return absl::OkStatus();
    });
    return {infos, files_.Directories()};
  }

  void ExpectCode(const std::string& what, const std::function<absl::Status()>& call,
                  StatusCode code) {
    const auto before = State();
    EXPECT_THAT(call(), StatusIs(code)) << what;
    if (code == StatusCode::kOk) return;
    EXPECT_EQ(State(), before) << what;
  }
};

// ---- Requests that are wrong ----

struct BadRequest {
  const char* name;
  absl::Status (*call)(Snapshotter&);
  StatusCode code;
};

const std::string& TooLong() {
  static const std::string key(kMaxKeyBytes + 1, 'k');
  return key;
}
Labels TooLarge() { return {{"l", std::string(kMaxLabelsBytes, 'v')}}; }
Labels TooMany() {
  Labels labels;
  for (size_t i = 0; i <= kMaxLabels; ++i) labels[std::to_string(i)] = "v";
  return labels;
}
absl::Status ListWith(Snapshotter& snapshotter, const std::string& filter) {
  return snapshotter.List({filter}, [](const SnapshotInfo&) { return absl::OkStatus(); });
}

// A row for each of Prepare and View.
// clang-format off
#define NEW_ROW(name, key, parent, labels, code)                                                   \
  {"Prepare" name,                                                                                 \
   [](Snapshotter& s) { return s.Prepare(key, parent, labels).status(); }, code},                  \
  {"View" name, [](Snapshotter& s) { return s.View(key, parent, labels).status(); }, code}
#define ROW(name, code, call) {name, [](Snapshotter& s) -> absl::Status { return call; }, code}
// clang-format on

const BadRequest kBadRequests[] = {
    NEW_ROW("OnAnUnknownParent", "k", "x", {}, kNotFound),
    NEW_ROW("OnAnActive", "k", "active", {}, kInvalid),
    NEW_ROW("OnAView", "k", "view", {}, kInvalid),
    NEW_ROW("OfAnActivesKey", "active", "", {}, kExists),
    NEW_ROW("OfAViewsKey", "view", "", {}, kExists),
    NEW_ROW("OfACommittedName", "base", "", {}, kExists),
    NEW_ROW("WithoutAKey", "", "", {}, kInvalid),
    NEW_ROW("OfALongKey", TooLong(), "", {}, kInvalid),
    NEW_ROW("OnALongParent", "k", TooLong(), {}, kInvalid),
    NEW_ROW("WithLargeLabels", "k", "", TooLarge(), kInvalid),
    NEW_ROW("WithManyLabels", "k", "", TooMany(), kInvalid),
    ROW("MountsOfAnUnknownKey", kNotFound, s.Mounts("x").status()),
    ROW("MountsOfACommitted", kPrecondition, s.Mounts("base").status()),
    ROW("MountsWithoutAKey", kInvalid, s.Mounts("").status()),
    ROW("MountsOfALongKey", kInvalid, s.Mounts(TooLong()).status()),
    ROW("CommitOfAnUnknownKey", kNotFound, s.Commit("n", "x", {}, "")),
    ROW("CommitOfAView", kPrecondition, s.Commit("n", "view", {}, "")),
    ROW("CommitOfACommitted", kPrecondition, s.Commit("n", "base", {}, "")),
    ROW("CommitToACommittedName", kExists, s.Commit("base", "active", {}, "")),
    ROW("CommitToAViewsKey", kExists, s.Commit("view", "active", {}, "")),
    ROW("CommitToItsOwnKey", kExists, s.Commit("active", "active", {}, "")),
    ROW("CommitOntoAnotherParent", kInvalid, s.Commit("n", "active", {}, "view")),
    ROW("CommitOntoAnUnknownParent", kNotFound, s.Commit("n", "alone", {}, "x")),
    ROW("CommitOntoAnActive", kPrecondition, s.Commit("n", "alone", {}, "active")),
    ROW("CommitOntoALongParent", kInvalid, s.Commit("n", "alone", {}, TooLong())),
    ROW("CommitWithoutAName", kInvalid, s.Commit("", "active", {}, "")),
    ROW("CommitToALongName", kInvalid, s.Commit(TooLong(), "active", {}, "")),
    ROW("CommitWithoutAKey", kInvalid, s.Commit("n", "", {}, "")),
    ROW("CommitOfALongKey", kInvalid, s.Commit("n", TooLong(), {}, "")),
    ROW("CommitWithLargeLabels", kInvalid, s.Commit("n", "active", TooLarge(), "")),
    ROW("CommitWithManyLabels", kInvalid, s.Commit("n", "active", TooMany(), "")),
    ROW("RemoveOfAnUnknownKey", kNotFound, s.Remove("x")),
    ROW("RemoveOfAParent", kPrecondition, s.Remove("base")),
    ROW("RemoveWithoutAKey", kInvalid, s.Remove("")),
    ROW("RemoveOfALongKey", kInvalid, s.Remove(TooLong())),
    ROW("StatOfAnUnknownKey", kNotFound, s.Stat("x").status()),
    ROW("StatWithoutAKey", kInvalid, s.Stat("").status()),
    ROW("StatOfALongKey", kInvalid, s.Stat(TooLong()).status()),
    ROW("UpdateOfAnUnknownKey", kNotFound, s.Update("x", {}, {}).status()),
    ROW("UpdateWithoutAKey", kInvalid, s.Update("", {}, {}).status()),
    ROW("UpdateOfALongKey", kInvalid, s.Update(TooLong(), {}, {}).status()),
    ROW("UpdateOfTheParent", kInvalid, s.Update("base", {}, {{"parent"}}).status()),
    ROW("UpdateWithLargeLabels", kInvalid, s.Update("base", TooLarge(), {}).status()),
    ROW("UpdateWithManyLabels", kInvalid, s.Update("base", TooMany(), {}).status()),
    ROW("ListWithAMalformedFilter", kInvalid, ListWith(s, "name=")),
    ROW("UsageOfAnUnknownKey", kNotFound, s.Usage("x").status()),
    ROW("UsageWithoutAKey", kInvalid, s.Usage("").status()),
    ROW("UsageOfALongKey", kInvalid, s.Usage(TooLong()).status()),
};

#undef ROW
#undef NEW_ROW

TEST_F(CodesTest, BadRequestsHaveTheirCodesAndChangeNothing) {
  for (const BadRequest& request : kBadRequests) {
    ExpectCode(
        request.name, [&] { return request.call(*core_); }, request.code);
  }
}

// containerd looks for the word.
TEST_F(CodesTest, RefusingToRemoveAParentSaysRemove) {
  EXPECT_THAT(core_->Remove("base"), StatusIs(kPrecondition, "remove"));
}

// ---- Right requests on a node in trouble ----

class TroubleTest : public CodesTest {
 protected:
  TroubleTest() {
    remote_ = MakeRemote(Sha256::Of(std::string_view("published")));
    EXPECT_OK(files_.MakeDirectory(Path("i1/fs"), 0755, 0, 0));
    EXPECT_OK(core_->Prepare("container", remote_, {}));
    EXPECT_OK(core_->Prepare("doomed", "", {}));
    EXPECT_OK(core_->Prepare("garbage", "", {}));
    EXPECT_OK(core_->Remove("garbage"));
  }

  // Each RPC once, in an order in which all of them succeed on a sound node. Those that are not in
  // `codes` must.
  void ExpectCodes(const std::map<std::string, StatusCode>& codes) {
    // Large enough for pages of their own.
    const Labels labels = {
        {std::string(kRefLabel), Sha256::Of(std::string_view("unpublished")).ToString()},
        {"large", std::string(kMaxLabelsBytes / 2, 'v')}};
    const std::vector<std::pair<std::string, std::function<absl::Status()>>> calls = {
        {"Stat", [&] { return core_->Stat("base").status(); }},
        {"List", [&] { return ListWith(*core_, ""); }},
        {"Usage", [&] { return core_->Usage("active").status(); }},
        {"Mounts", [&] { return core_->Mounts("active").status(); }},
        {"Mounts on an image", [&] { return core_->Mounts("container").status(); }},
        {"Prepare", [&] { return core_->Prepare("new", "base", labels).status(); }},
        {"Prepare on an image", [&] { return core_->Prepare("n", remote_, labels).status(); }},
        {"View", [&] { return core_->View("new view", "base", labels).status(); }},
        {"View of nothing", [&] { return core_->View("empty view", "", labels).status(); }},
        {"View of an image", [&] { return core_->View("v", remote_, labels).status(); }},
        {"Update", [&] { return core_->Update("base", labels, {}).status(); }},
        {"Commit", [&] { return core_->Commit("name", "active", labels, ""); }},
        {"Remove", [&] { return core_->Remove("doomed"); }},
        {"Cleanup", [&] { return core_->Cleanup(); }},
    };
    for (const auto& [rpc, call] : calls) {
      const auto code = codes.find(rpc);
      ExpectCode(rpc, call, code == codes.end() ? StatusCode::kOk : code->second);
    }
  }

  void RunInDatabase(std::string_view literal) {
    ASSERT_OK_AND_ASSIGN(Txn txn, db_->Write());
    ASSERT_OK(Stmt(txn, literal).Step());
    ASSERT_OK(txn.Commit());
  }

  std::string remote_;
};

TEST_F(TroubleTest, NoTroubleIsOk) { ExpectCodes({}); }

TEST_F(TroubleTest, AFullDiskIsResourceExhaustedForWhatMakesDirectories) {
  faulty_.FailChanges(ENOSPC);
  ExpectCodes({{"Prepare", StatusCode::kResourceExhausted},
               {"Prepare on an image", StatusCode::kResourceExhausted},
               {"View of nothing", StatusCode::kResourceExhausted}});
}

TEST_F(TroubleTest, AnUnwritableRootIsPermissionDenied) {
  faulty_.FailChanges(EROFS);
  ExpectCodes({{"Prepare", StatusCode::kPermissionDenied},
               {"Prepare on an image", StatusCode::kPermissionDenied},
               {"View of nothing", StatusCode::kPermissionDenied},
               {"Cleanup", StatusCode::kPermissionDenied}});
}

TEST_F(TroubleTest, WhatTheDiskDoesNotTakeIsNotCommitted) {
  faulty_.FailChanges(EIO);
  ASSERT_FALSE(core_->Commit("name", "active", {}, "").ok());
  faulty_.FailChanges(0);
  EXPECT_THAT(core_->Stat("name"), StatusIs(StatusCode::kNotFound));
  // The disk takes everything again, but not what it lost, which may be anybody's of that time.
  EXPECT_THAT(core_->Commit("name", "active", {}, ""), StatusIs(StatusCode::kDataLoss, "unpack"));
  EXPECT_THAT(core_->Commit("other", "alone", {}, ""), StatusIs(StatusCode::kDataLoss, "unpack"));
  EXPECT_OK(core_->Remove("active"));
  EXPECT_OK(core_->Prepare("active", "base", {}));
  EXPECT_OK(core_->Commit("name", "active", {}, ""));
}

TEST_F(TroubleTest, WhoWasMadeBeforeALaterFailureIsNotCommittedEither) {
  faulty_.FailChanges(EIO);
  ASSERT_FALSE(core_->Commit("name", "active", {}, "").ok());
  faulty_.FailChanges(0);
  ASSERT_OK(core_->Prepare("second", "base", {}));
  ASSERT_OK(core_->Prepare("third", "base", {}));
  faulty_.FailChanges(EIO);
  ASSERT_FALSE(core_->Commit("name", "second", {}, "").ok());
  faulty_.FailChanges(0);
  EXPECT_THAT(core_->Commit("name", "third", {}, ""), StatusIs(StatusCode::kDataLoss, "unpack"));
}

TEST_F(TroubleTest, ASnapshotWhoseDirectoryIsGoneCondemnsNoOther) {
  faulty_.FailChanges(ENOENT);
  ASSERT_FALSE(core_->Commit("name", "active", {}, "").ok());
  faulty_.FailChanges(0);
  EXPECT_OK(core_->Commit("other", "alone", {}, ""));
}

TEST_F(TroubleTest, ACommitThatWaitsLongForTheDiskIsLogged) {
  std::chrono::seconds takes{1};
  files_.OnSync([&](const std::string&) {
    clock_.Advance(takes);
    return absl::OkStatus();
  });
  ::testing::internal::CaptureStderr();
  EXPECT_OK(core_->Commit("usual", "active", {}, ""));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  takes = std::chrono::seconds(61);
  ::testing::internal::CaptureStderr();
  EXPECT_OK(core_->Commit("slow", "alone", {}, ""));
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), ::testing::HasSubstr("61000"));
}

TEST_F(TroubleTest, AStoreThatFailsIsNoErrorOfAnyRpc) {
  images_.FailEnsure(Unavailable("x"));
  images_.SetUsage(Unavailable("x"));
  ExpectCodes({});
}

TEST_F(TroubleTest, AnImageThatCannotBeAttachedIsUnavailableOnItAlone) {
  images_.FailAttach(Unavailable("x"));
  ExpectCodes({{"Mounts on an image", StatusCode::kUnavailable},
               {"Prepare on an image", StatusCode::kUnavailable},
               {"View of an image", StatusCode::kUnavailable}});
}

TEST_F(TroubleTest, AFullDatabaseIsResourceExhaustedForWhatWritesAndRemoveWorks) {
  RunInDatabase("PRAGMA max_page_count=1");  // no more than it has
  ExpectCodes({{"Prepare", StatusCode::kResourceExhausted},
               {"Prepare on an image", StatusCode::kResourceExhausted},
               {"View", StatusCode::kResourceExhausted},
               {"View of nothing", StatusCode::kResourceExhausted},
               {"View of an image", StatusCode::kResourceExhausted},
               {"Update", StatusCode::kResourceExhausted},
               {"Commit", StatusCode::kResourceExhausted}});
}

TEST_F(TroubleTest, AnUnwritableDatabaseIsPermissionDenied) {
  RunInDatabase("PRAGMA query_only=1");
  ExpectCodes({{"Prepare", StatusCode::kPermissionDenied},
               {"Prepare on an image", StatusCode::kPermissionDenied},
               {"View", StatusCode::kPermissionDenied},
               {"View of nothing", StatusCode::kPermissionDenied},
               {"View of an image", StatusCode::kPermissionDenied},
               {"Update", StatusCode::kPermissionDenied},
               {"Commit", StatusCode::kPermissionDenied},
               {"Remove", StatusCode::kPermissionDenied}});
}

TEST_F(TroubleTest, ADatabaseThatFailsIsInternalAndCleanupWorks) {
  RunInDatabase("ALTER TABLE snapshots RENAME TO lost");
  ExpectCodes({{"Stat", StatusCode::kInternal},
               {"List", StatusCode::kInternal},
               {"Usage", StatusCode::kInternal},
               {"Mounts", StatusCode::kInternal},
               {"Mounts on an image", StatusCode::kInternal},
               {"Prepare", StatusCode::kInternal},
               {"Prepare on an image", StatusCode::kInternal},
               {"View", StatusCode::kInternal},
               {"View of nothing", StatusCode::kInternal},
               {"View of an image", StatusCode::kInternal},
               {"Update", StatusCode::kInternal},
               {"Commit", StatusCode::kInternal},
               {"Remove", StatusCode::kInternal}});
}

}  // namespace
}  // namespace slacker::testing
