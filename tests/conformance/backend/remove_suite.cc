// An image's name is never taken away from a publisher who has taken it meanwhile, on any backend.
#include <gmock/gmock.h>

#include <functional>
#include <utility>

#include "backend/store/names.h"
#include "backend/upkeep/remove_image.h"
#include "tests/conformance/backend/backend_suite.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/store/store_test_util.h"

namespace slacker::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// Calls `meanwhile` once, before the first Move.
class InterruptedBackend final : public Backend {
 public:
  InterruptedBackend(Backend* base, std::function<void()> meanwhile)
      : base_(base), meanwhile_(std::move(meanwhile)) {}
  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                 ReadCallback done) override {
    base_->ReadAsync(name, offset, size, std::move(done));
  }
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override { return base_->Stat(name); }
  std::string Url() const override { return base_->Url(); }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(std::string_view name) override {
    return base_->Create(name);
  }
  absl::Status Replace(std::string_view name, std::string_view content) override {
    return base_->Replace(name, content);
  }
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix) override {
    return base_->List(prefix);
  }
  absl::Status Remove(std::string_view name) override { return base_->Remove(name); }
  absl::Status Move(std::string_view from, std::string_view to) override {
    if (meanwhile_) std::exchange(meanwhile_, nullptr)();
    return base_->Move(from, to);
  }

 private:
  Backend* const base_;
  std::function<void()> meanwhile_;
};

TEST_P(BackendSuite, ANameThatAnotherPublisherTakesWhileItIsRemovedStays) {
  const std::shared_ptr<Backend> store(std::shared_ptr<void>(), &backend());  // the suite's
  const std::vector<SampleLayer> one = {MakeSampleLayer(1)}, two = {MakeSampleLayer(2)};
  ASSERT_OK(PublishSamples(store, one));
  ASSERT_OK_AND_ASSIGN(const auto looked_at, ListImages(*store));
  InterruptedBackend interrupted(store.get(), [&] { ASSERT_OK(PublishSamples(store, two)); });
  ASSERT_OK_AND_ASSIGN(RemovedImages removed,
                       RemoveImages(interrupted, looked_at, {SampleChain(one)}));
  EXPECT_EQ(removed.replaced, 1u);
  EXPECT_EQ(removed.manifests, 1u);
  ASSERT_OK_AND_ASSIGN(const auto images, ListImages(*store));
  ASSERT_THAT(images, SizeIs(1));
  EXPECT_EQ(images[0].chain_id, SampleChain(two));
  EXPECT_OK(CheckSamples(store, two));

  ASSERT_OK_AND_ASSIGN(removed, RemoveImages(*store, images, {SampleChain(two)}));
  EXPECT_EQ(removed.entries, 1u);
  EXPECT_THAT(ListImages(*store).value(), IsEmpty());
}

}  // namespace
}  // namespace slacker::testing
