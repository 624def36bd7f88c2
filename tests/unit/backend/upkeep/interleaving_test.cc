// Two operations on one store, each cut in two at every place: the first half of one, the first half
// of the other, the second half of the first, the second half of the other.
#include <atomic>
#include <functional>
#include <thread>

#include "backend/base/mutex.h"
#include "backend/upkeep/compact.h"
#include "backend/upkeep/mark.h"
#include "backend/upkeep/trash.h"
#include "tests/unit/backend/upkeep/upkeep_fixture.h"

// How many times as far apart the cuts lie as in an ordinary build.
#ifndef INTERLEAVING_STRIDE
#define INTERLEAVING_STRIDE 1
#endif

namespace slacker {
namespace {

constexpr uint64_t kOuterStep = 3 * INTERLEAVING_STRIDE;
constexpr uint64_t kInnerStep = 5 * INTERLEAVING_STRIDE;

using testing::SampleLayer;
using testing::StatusIs;

// Calls `hook` before the n-th call. Thread-safe.
class CutBackend final : public Backend {
 public:
  CutBackend(std::shared_ptr<Backend> base, uint64_t n, std::function<void()> hook)
      : base_(std::move(base)), n_(n), hook_(std::move(hook)) {}
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
  void Pass() {
    if (++calls_ == n_) hook_();
  }

  const std::shared_ptr<Backend> base_;
  const uint64_t n_;
  const std::function<void()> hook_;
  std::atomic<uint64_t> calls_ = 0;
};

class Gate {
 public:
  void Open() {
    MutexLock lock(&mutex_);
    open_ = true;
    changed_.SignalAll();
  }
  void Wait() {
    MutexLock lock(&mutex_);
    while (!open_) changed_.Wait(&mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
};

using Operation = std::function<absl::Status(const std::shared_ptr<Backend>&)>;

class InterleavingTest : public testing::UpkeepTest {
 protected:
  // Whether `first` has at least `m` calls; `*inner_done`: whether `second` has fewer than n.
  bool Interleave(const Operation& first, uint64_t m, const Operation& second, uint64_t n,
                  bool* inner_done) {
    Gate halfway;
    Gate rest;
    std::thread other;
    const auto inner = std::make_shared<CutBackend>(store_, n, [&] {
      halfway.Open();
      rest.Wait();
    });
    const auto outer = std::make_shared<CutBackend>(store_, m, [&] {
      other = std::thread([&] {
        Expect(second(inner));
        halfway.Open();
      });
      halfway.Wait();
    });
    Expect(first(outer));
    rest.Open();
    if (other.joinable()) other.join();
    *inner_done = inner->calls() < n;
    return outer->calls() >= m;
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
TEST_F(InterleavingTest, CompactionAroundACollection) { Run(compact_, collect_); }
TEST_F(InterleavingTest, ACollectionAroundCompaction) { Run(collect_, compact_); }
TEST_F(InterleavingTest, CompactionAroundPublishing) { Run(compact_, publish_); }
TEST_F(InterleavingTest, TwoPublications) { Run(publish_, publish_); }

}  // namespace
}  // namespace slacker
