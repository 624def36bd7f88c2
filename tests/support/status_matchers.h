// Matchers for absl::Status and absl::StatusOr (the packaged Abseil has none).
#pragma once

#include <gmock/gmock.h>

#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/base/status.h"

namespace slacker::testing {

inline absl::Status StatusOf(const absl::Status& status) { return status; }
template <typename T>
absl::Status StatusOf(const absl::StatusOr<T>& value) {
  return value.status();
}

// What EXPECT_OK and ASSERT_OK print. Not a matcher: those cost the compiler a tenth of a second for each type.
inline ::testing::AssertionResult Succeeds(const char* expression, const absl::Status& status) {
  if (status.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << expression << ": " << status.ToString();
}
template <typename T>
::testing::AssertionResult Succeeds(const char* expression, const absl::StatusOr<T>& value) {
  return Succeeds(expression, value.status());
}

// Of absl::Status and absl::StatusOr.
class StatusIs {
 public:
  using is_gtest_matcher = void;
  // `text` is in its message.
  explicit StatusIs(absl::StatusCode code, std::string text = "")
      : code_(code), text_(std::move(text)) {}

  template <typename T>
  bool MatchAndExplain(const T& value, ::testing::MatchResultListener* listener) const {
    return Matches(StatusOf(value), listener);
  }
  void DescribeTo(std::ostream* out) const {
    *out << "has the code " << absl::StatusCodeToString(code_);
    if (!text_.empty()) *out << " and a message with \"" << text_ << '"';
  }
  void DescribeNegationTo(std::ostream* out) const {
    *out << "not: ";
    DescribeTo(out);
  }

 private:
  bool Matches(const absl::Status& status, ::testing::MatchResultListener* listener) const {
    *listener << status.ToString();
    return status.code() == code_ && status.message().find(text_) != std::string_view::npos;
  }

  absl::StatusCode code_;
  std::string text_;
};

class IsOk {
 public:
  using is_gtest_matcher = void;
  template <typename T>
  bool MatchAndExplain(const T& value, ::testing::MatchResultListener* listener) const {
    const absl::Status status = StatusOf(value);
    *listener << status.ToString();
    return status.ok();
  }
  void DescribeTo(std::ostream* out) const { *out << "is OK"; }
  void DescribeNegationTo(std::ostream* out) const { *out << "is not OK"; }
};

}  // namespace slacker::testing

#define ASSERT_OK(expr) ASSERT_PRED_FORMAT1(::slacker::testing::Succeeds, (expr))
#define EXPECT_OK(expr) EXPECT_PRED_FORMAT1(::slacker::testing::Succeeds, (expr))
// ASSERT_OK_AND_ASSIGN(auto x, F());
#define ASSERT_OK_AND_ASSIGN(lhs, expr) \
  ASSERT_OK_AND_ASSIGN_INNER(SLACKER_CONCAT(slacker_assigned_, __LINE__), lhs, expr)
#define ASSERT_OK_AND_ASSIGN_INNER(tmp, lhs, expr)                   \
  auto tmp = (expr);                                                 \
  ASSERT_TRUE(tmp.ok()) << #expr << ": " << tmp.status().ToString(); \
  lhs = *std::move(tmp)
