// Lines of results.jsonl: what is accepted can be written again, and means the same.
#include <cstdint>
#include <string>
#include <string_view>

#include "backend/base/check.h"
#include "cmd/hellobench/results/result.h"

namespace hellobench = slacker::hellobench;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<hellobench::Result> result = hellobench::ParseResult(line);
  if (!result.ok()) {
    SLACKER_CHECK(result.status().code() == absl::StatusCode::kInvalidArgument, "nothing else");
    SLACKER_CHECK(!result.status().message().empty(), "it says what is wrong");
    return 0;
  }
  const std::string written = hellobench::ToLine(*result);
  SLACKER_CHECK(written.find('\n') == std::string::npos, "a line is one line");
  const absl::StatusOr<hellobench::Result> again = hellobench::ParseResult(written);
  SLACKER_CHECK(again.ok(), "what was written can be read");
  SLACKER_CHECK(*again == *result, "and is the same");
  return 0;
}
