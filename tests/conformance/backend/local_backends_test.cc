#include <memory>

#include "backend/loopback/loopback_backend.h"
#include "backend/memory/memory_backend.h"
#include "tests/conformance/backend/backend_suite.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

class MemoryStore final : public StoreUnderTest {
 public:
  Backend& backend() override { return backend_; }

 private:
  MemoryBackend backend_;
};

class LoopbackStore final : public StoreUnderTest {
 public:
  Backend& backend() override { return *backend_; }

 private:
  TempDir directory_;
  std::unique_ptr<LoopbackBackend> backend_ =
      LoopbackBackend::Open(directory_ / "store", LoopbackBackend::Missing::kCreate).value();
};

const auto kLocal =
    ::testing::Values(BackendCase{"Memory", [] { return std::make_unique<MemoryStore>(); }},
                      BackendCase{"Loopback", [] { return std::make_unique<LoopbackStore>(); }});
const auto kNameOf = [](const auto& test) { return test.param.name; };

INSTANTIATE_TEST_SUITE_P(Local, ReadBackendSuite, kLocal, kNameOf);
INSTANTIATE_TEST_SUITE_P(Local, BackendSuite, kLocal, kNameOf);

}  // namespace
}  // namespace slacker::testing
