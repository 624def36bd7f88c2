// What every Backend must do (backend/backend.h), whatever it stands on: ReadBackendSuite for every
// ReadBackend, and BackendSuite for those that can write, too. A program links read_suite.cc,
// backend_suite.cc and remove_suite.cc and names its backends:
//
//   INSTANTIATE_TEST_SUITE_P(Memory, ReadBackendSuite, ::testing::Values(BackendCase{…}));
//   INSTANTIATE_TEST_SUITE_P(Memory, BackendSuite, ::testing::Values(BackendCase{…}));
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace slacker::testing {

// An empty store, which goes with this object.
class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual Backend& backend() = 0;
  // What nodes open, where that is something else.
  virtual ReadBackend& reader() { return backend(); }
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
  ReadBackend& reader() { return store_->reader(); }

 private:
  std::unique_ptr<StoreUnderTest> store_;
};

class ReadBackendSuite : public BackendSuite {};

// Of every kind that there is.
std::vector<std::string> BadNames();

}  // namespace slacker::testing
