#include "snapshotter/gateway/request_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "backend/memory/memory_backend.h"
#include "tests/support/fake_backend.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kRef[] = "containerd.io/snapshot/cri.image-ref";
constexpr char kLayers[] = "containerd.io/snapshot/cri.image-layers";

// Holds up what asks it for a list until it is opened.
class GatedBackend final : public Backend {
 public:
  void Open() {
    MutexLock lock(&mutex_);
    open_ = true;
    changed_.SignalAll();
  }
  void AwaitArrival() {
    MutexLock lock(&mutex_);
    while (arrived_ == 0) changed_.Wait(&mutex_);
  }

  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                 ReadCallback done) override {
    inner_.ReadAsync(name, offset, size, std::move(done));
  }
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override { return inner_.Stat(name); }
  std::string Url() const override { return inner_.Url(); }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(std::string_view name) override {
    return inner_.Create(name);
  }
  absl::Status Replace(std::string_view name, std::string_view content) override {
    return inner_.Replace(name, content);
  }
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix) override {
    MutexLock lock(&mutex_);
    ++arrived_;
    changed_.SignalAll();
    while (!open_) changed_.Wait(&mutex_);
    return inner_.List(prefix);
  }
  absl::Status Remove(std::string_view name) override { return inner_.Remove(name); }
  absl::Status Move(std::string_view from, std::string_view to) override {
    return inner_.Move(from, to);
  }

 private:
  MemoryBackend inner_;
  Mutex mutex_;
  CondVar changed_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
  int arrived_ ABSL_GUARDED_BY(mutex_) = 0;
};

class RequestWriterTest : public ::testing::Test {
 protected:
  static std::string Chain(int number) {
    return Sha256::Of("chain " + std::to_string(number)).ToString();
  }
  static Labels TopOf(const std::string& image) {
    return {{kRef, image}, {kLayers, Sha256::Of("layer").ToString()}};
  }
  std::unique_ptr<RequestWriter> Start(std::shared_ptr<Backend> store) {
    return std::make_unique<RequestWriter>(std::move(store), Platform{"linux", "amd64", ""},
                                           [this] {
                                             MutexLock lock(&mutex_);
                                             ++written_;
                                             changed_.SignalAll();
                                           });
  }
  void AwaitWritten(int count) {
    MutexLock lock(&mutex_);
    while (written_ < count) changed_.Wait(&mutex_);
    EXPECT_EQ(written_, count);
  }

  const std::shared_ptr<MemoryBackend> store_ = std::make_shared<MemoryBackend>();
  Mutex mutex_;
  CondVar changed_;
  int written_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST_F(RequestWriterTest, TheTopOfAnImageIsAskedFor) {
  const auto writer = Start(store_);
  writer->Note(Chain(1), TopOf("registry.example.com/app:v1"));
  AwaitWritten(1);
  ASSERT_OK_AND_ASSIGN(const auto requests, ListRequests(*store_));
  ASSERT_THAT(requests, SizeIs(1));
  ASSERT_OK(requests[0].request);
  EXPECT_EQ(requests[0].request->reference, "registry.example.com/app:v1");
  EXPECT_EQ(requests[0].request->chain_id.ToString(), Chain(1));
  EXPECT_EQ(requests[0].request->platform.architecture, "amd64");
  EXPECT_EQ(requests[0].request->name_space, "");
}

TEST_F(RequestWriterTest, ReferencesAreCompletedAndNamespacesKept) {
  const auto writer = Start(store_);
  writer->Note(Chain(1), TopOf("nginx"), "k8s.io");
  AwaitWritten(1);
  ASSERT_OK_AND_ASSIGN(const auto requests, ListRequests(*store_));
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_EQ(requests[0].request->reference, "docker.io/library/nginx:latest");
  EXPECT_EQ(requests[0].request->name_space, "k8s.io");
}

TEST_F(RequestWriterTest, NothingElseIsAskedFor) {
  const auto writer = Start(store_);
  writer->Note("not a chain", TopOf("registry.example.com/app:v1"));
  writer->Note(Chain(1), {});
  writer->Note(Chain(2), {{kRef, "registry.example.com/app:v1"}});
  writer->Note(Chain(3), {{kLayers, Chain(1)}});
  writer->Note(Chain(4),
               {{kRef, "registry.example.com/app:v1"}, {kLayers, Chain(1) + "," + Chain(2)}});
  writer->Note(Chain(5), TopOf("not a reference"));
  writer->Note(Chain(6), TopOf(std::string(100'000, 'a')));
  writer->Note(Chain(7), TopOf("registry.example.com/app:v1"));  // after all of these
  AwaitWritten(1);
  ASSERT_OK_AND_ASSIGN(const auto requests, ListRequests(*store_));
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_EQ(requests[0].request->chain_id.ToString(), Chain(7));
}

TEST_F(RequestWriterTest, AStoreThatHangsHoldsUpNobodyAndALimitedNumberOfRequests) {
  const auto store = std::make_shared<GatedBackend>();
  const auto writer = Start(store);
  writer->Note(Chain(0), TopOf("registry.example.com/app:v0"));
  store->AwaitArrival();
  for (int i = 0; i < 2 * static_cast<int>(RequestWriter::kMaxWaiting); ++i) {
    writer->Note(Chain(i), TopOf("registry.example.com/app:v" + std::to_string(i)));
  }
  store->Open();
  AwaitWritten(RequestWriter::kMaxWaiting);
  EXPECT_THAT(*store->List("requests/"), SizeIs(RequestWriter::kMaxWaiting));
}

TEST_F(RequestWriterTest, AnImageMayBeAskedForAgainOnceItsRequestIsGone) {
  const auto writer = Start(store_);
  writer->Note(Chain(1), TopOf("registry.example.com/app:v1"));
  AwaitWritten(1);
  ASSERT_OK_AND_ASSIGN(const auto names, store_->List("requests/"));
  ASSERT_OK(store_->Remove(names.at(0)));
  EXPECT_THAT(*store_->List("requests/"), IsEmpty());
  // The second is written after the first has been forgotten.
  writer->Note(Chain(2), TopOf("registry.example.com/app:v2"));
  AwaitWritten(2);
  ASSERT_OK(store_->Remove(store_->List("requests/")->at(0)));
  writer->Note(Chain(1), TopOf("registry.example.com/app:v1"));
  AwaitWritten(3);
  EXPECT_THAT(*store_->List("requests/"), SizeIs(1));
}

TEST_F(RequestWriterTest, ATraceIsLeftInTheStore) {
  const auto store = std::make_shared<testing::FakeBackend>();
  const Digest chain = Sha256::Of("chain");
  {
    RequestWriter writer(store, {"linux", "amd64", ""});
    writer.Leave({chain, {Sha256::Of("record")}, 1, {{0, 5, 1, 1}}});
    // Ends by CTest's timeout when it does not come.
    while (store->List(TracesPrefix(chain))->empty()) std::this_thread::yield();
  }
  ASSERT_OK_AND_ASSIGN(const auto traces, ListTraces(*store, chain));
  ASSERT_THAT(traces, SizeIs(1));
  ASSERT_OK(traces[0].trace);
  EXPECT_EQ(PagesOf(*traces[0].trace), 1U);
}

}  // namespace
}  // namespace slacker
