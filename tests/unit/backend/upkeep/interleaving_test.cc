// Two operations on one store, each cut in two at every place: the first half of one, the first half
// of the other, the second half of the first, the second half of the other.
#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

#include "backend/base/mutex.h"
#include "backend/publish/signer.h"
#include "backend/upkeep/compact.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/trash.h"
#include "tests/support/exhaustive.h"
#include "tests/unit/backend/upkeep/upkeep_fixture.h"

namespace slacker {
namespace {

constexpr uint64_t kOuterStep = 5 * testing::kPlaceStep;
constexpr uint64_t kInnerStep = 7 * testing::kPlaceStep;
// Calls after which a publication has seen what is condemned.
constexpr uint64_t kOpened = 4;

using testing::SampleLayer;
using testing::StatusIs;

// Calls `hook` before each call, with its number, from 1. Thread-safe.
class CutBackend final : public Backend {
 public:
  CutBackend(std::shared_ptr<Backend> base, std::function<void(uint64_t)> hook)
      : base_(std::move(base)), hook_(std::move(hook)) {}
  uint64_t calls() const { return calls_; }

  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                 ReadCallback done) override {
    Pass();
    base_->ReadAsync(name, offset, size, std::move(done));
  }
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override {
    Pass();
    return base_->Stat(name);
  }
  std::string Url() const override { return base_->Url(); }
  bool IsNetwork() const override { return false; }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(std::string_view name) override {
    Pass();
    return base_->Create(name);
  }
  absl::Status Replace(std::string_view name, std::string_view content) override {
    Pass();
    return base_->Replace(name, content);
  }
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix) override {
    Pass();
    return base_->List(prefix);
  }
  absl::Status Remove(std::string_view name) override {
    Pass();
    return base_->Remove(name);
  }
  absl::Status Move(std::string_view from, std::string_view to) override {
    Pass();
    return base_->Move(from, to);
  }

 private:
  void Pass() { hook_(++calls_); }

  const std::shared_ptr<Backend> base_;
  const std::function<void(uint64_t)> hook_;
  std::atomic<uint64_t> calls_ = 0;
};

// One operation on a thread of its own, which goes on only as far as it is told.
class Actor {
 public:
  using Operation = std::function<absl::Status(const std::shared_ptr<Backend>&)>;

  Actor(const std::shared_ptr<Backend>& store, const Operation& operation)
      : backend_(std::make_shared<CutBackend>(store, [this](uint64_t call) { Pass(call); })),
        thread_([this, operation] { Run(operation); }) {}
  ~Actor() {
    GoOn(~uint64_t{0});
    thread_.join();
  }

  // Up to the `call`-th call, which it does not make yet; false when it has ended before.
  bool GoOn(uint64_t call) {
    MutexLock lock(&mutex_);
    stop_ = std::max(call, stop_);
    changed_.SignalAll();
    while (!done_ && at_ < stop_) changed_.Wait(&mutex_);
    return !done_;
  }
  // To its end.
  absl::Status Finish() {
    (void)GoOn(~uint64_t{0});
    MutexLock lock(&mutex_);
    return status_;
  }

 private:
  void Run(const Operation& operation) {
    absl::Status status = operation(backend_);
    MutexLock lock(&mutex_);
    status_ = std::move(status);
    done_ = true;
    changed_.SignalAll();
  }
  void Pass(uint64_t call) {
    MutexLock lock(&mutex_);
    at_ = call;
    if (at_ < stop_) return;
    changed_.SignalAll();
    while (at_ >= stop_) changed_.Wait(&mutex_);
  }

  Mutex mutex_;
  CondVar changed_;
  uint64_t stop_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t at_ ABSL_GUARDED_BY(mutex_) = 0;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  const std::shared_ptr<CutBackend> backend_;
  std::thread thread_;  // last: it uses all the others
};

using Operation = Actor::Operation;

class InterleavingTest : public testing::UpkeepTest {
 protected:
  // Whether `first` has at least `m` calls; `*inner_done`: whether `second` has fewer than n.
  bool Interleave(const Operation& first, uint64_t m, const Operation& second, uint64_t n,
                  bool* inner_done) {
    Actor outer(store_, first);
    const bool more = outer.GoOn(m);
    if (!more) {
      *inner_done = true;
      Expect(outer.Finish());
      return false;
    }
    Actor inner(store_, second);
    *inner_done = !inner.GoOn(n);
    Expect(outer.Finish());
    Expect(inner.Finish());
    return true;
  }
  static void Expect(const absl::Status& status) {
    if (status.ok()) return;
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted));
  }

  // An image that is garbage by now, condemned long ago or not, beside one that is not. Built once;
  // before every other turn the same objects are put back.
  void Prepare(bool condemned) {
    for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
    std::map<std::string, std::string>& objects = prepared_[condemned];
    for (const auto& [name, content] : objects) ASSERT_OK(store_->Replace(name, content));
    if (!objects.empty()) return;
    ASSERT_OK(Publish("other", {two_}));
    ASSERT_OK(Publish("one", {base_, one_}));
    ASSERT_OK(Rm("one"));
    const Marks marks = Mark(*store_, {}).value();
    for (const std::string& name : Names()) {
      const ObjectId id = IdentifyObject(name);
      if (!condemned || !IsCondemnable(id.kind) || marks.Has(id)) continue;
      ASSERT_OK(Condemn(*store_, name));
    }
    for (const std::string& name : Names())
      objects[name] = store_->ReadWhole(name, 1 << 20).value();
  }

  void Run(const Operation& first, const Operation& second) {
    for (const bool condemned : {false, true}) {
      bool more = true;
      for (uint64_t m = 1; more; m += kOuterStep) {
        bool inner_done = false;
        for (uint64_t n = 1 + m % kInnerStep; more && !inner_done; n += kInnerStep) {
          SCOPED_TRACE(std::to_string(m) + " " + std::to_string(n));
          Prepare(condemned);
          more = Interleave(first, m, second, n, &inner_done);
          ExpectSound();
          (void)Gc(0);
          ExpectSound();
          if (HasFailure()) return;
        }
      }
    }
  }

  std::map<std::string, std::string> prepared_[2];
  const Operation publish_ = [this](const std::shared_ptr<Backend>& store) {
    return Publish(store, "one", {base_, one_});
  };
  const Operation collect_ = [](const std::shared_ptr<Backend>& store) {
    return CollectGarbage(*store, {.grace_seconds = 0}).status();
  };
  const Operation compact_ = [](const std::shared_ptr<Backend>& store) {
    return Compact(*store, {}).status();
  };
};

TEST_F(InterleavingTest, PublishingAroundACollection) { Run(publish_, collect_); }
TEST_F(InterleavingTest, ACollectionAroundPublishing) { Run(collect_, publish_); }
TEST_F(InterleavingTest, TwoCollections) { Run(collect_, collect_); }
// A publication that knows what the first collection condemns; the second one takes that back, and the
// first one has looked before.
TEST_F(InterleavingTest, TwoCollectionsAndAPublication) {
  for (const bool condemned : {false, true}) {
    bool more = true;
    for (uint64_t m = 1; more; m += kOuterStep) {
      bool published = false;
      for (uint64_t n = kOpened + 1 + m % kOuterStep; more && !published; n += kOuterStep) {
        SCOPED_TRACE(std::to_string(m) + " " + std::to_string(n));
        Prepare(condemned);
        Actor publication(store_, publish_);
        ASSERT_TRUE(publication.GoOn(kOpened));
        Actor collection(store_, collect_);
        more = collection.GoOn(m);
        published = !publication.GoOn(n);
        EXPECT_OK(collect_(store_));
        Expect(publication.Finish());
        Expect(collection.Finish());
        ExpectSound();
        (void)Gc(0);
        ExpectSound();
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(InterleavingTest, CompactionAroundACollection) { Run(compact_, collect_); }
TEST_F(InterleavingTest, ACollectionAroundCompaction) { Run(collect_, compact_); }
TEST_F(InterleavingTest, CompactionAroundPublishing) { Run(compact_, publish_); }
TEST_F(InterleavingTest, TwoPublications) { Run(publish_, publish_); }

// What is signed, but has gone, would be found by nodes and by publishers.
TEST_F(InterleavingTest, SigningAroundARemovalAndACollection) {
  const SigningKey present = SigningKey::Generate();
  const SigningKey next = SigningKey::Generate();
  StoreWriter::Options options;
  options.key = present;
  const auto sign_all = [&](const std::shared_ptr<Backend>& store) {
    return SignManifests(store, std::nullopt, next, {.keys = {present.public_key()}}, {});
  };
  const Operation sign = [&](const std::shared_ptr<Backend>& store) {
    return sign_all(store).status();
  };
  const Operation remove = [this](const std::shared_ptr<Backend>& store) {
    const auto images = ListImages(*store).value();
    for (const ImageEntry& image : images) {
      if (image.name != "one") continue;
      RETURN_IF_ERROR(RemoveImages(*store, {image}, {image.chain_id}).status());
    }
    return collect_(store);
  };
  published_ = {{"other", {two_}}, {"one", {base_, one_}}};
  for (const auto& [name, layers] : published_) {
    ASSERT_OK(Publish(store_, name, layers, options));
  }
  std::map<std::string, std::string> before;
  for (const std::string& name : Names()) before[name] = store_->ReadWhole(name, 1 << 20).value();
  ASSERT_OK_AND_ASSIGN(const SignReport report, sign_all(store_));
  ASSERT_EQ(report.manifests, 3u);
  bool more = true;
  for (uint64_t m = 1; more; m += testing::kPlaceStep) {
    bool inner_done = false;
    for (uint64_t n = 1 + m % kInnerStep; more && !inner_done; n += kInnerStep) {
      SCOPED_TRACE(std::to_string(m) + " " + std::to_string(n));
      for (const std::string& name : Names()) ASSERT_OK(store_->Remove(name));
      for (const auto& [name, content] : before) ASSERT_OK(store_->Replace(name, content));
      more = Interleave(sign, m, remove, n, &inner_done);
      ExpectSound();
      for (const std::string& name : Names(std::string(kManifestsPrefix))) {
        ASSERT_OK_AND_ASSIGN(const Manifest manifest, ReadAnyManifest(*store_, name));
        for (const ManifestLayer& layer : manifest.layers) {
          EXPECT_OK(store_->Stat(RecordName(layer.record))) << name;
        }
      }
      (void)Gc(0);
      ExpectSound();
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace slacker
