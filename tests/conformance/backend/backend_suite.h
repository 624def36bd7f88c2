// What every Backend must do (backend/backend.h), whatever it stands on. A program links
// backend_suite.cc and names its backends:
//
//   INSTANTIATE_TEST_SUITE_P(Memory, BackendSuite, ::testing::Values(BackendCase{…}));
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>

#include "backend/backend.h"

namespace slacker::testing {

// An empty store, which goes with this object.
class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual Backend& backend() = 0;
};

struct BackendCase {
  const char* name;
  std::function<std::unique_ptr<StoreUnderTest>()> make;
};
inline void PrintTo(const BackendCase& value, std::ostream* out) { *out << value.name; }

class BackendSuite : public ::testing::TestWithParam<BackendCase> {
 protected:
  BackendSuite() : store_(GetParam().make()) {}
  Backend& backend() { return store_->backend(); }

 private:
  std::unique_ptr<StoreUnderTest> store_;
};

}  // namespace slacker::testing
