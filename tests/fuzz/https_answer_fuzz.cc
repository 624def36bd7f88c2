// What a web server answers to a ranged read: two bytes of offset, two of size, the head up to an empty
// line, the body. Never more bytes than were asked for, and however the body is cut, the same ones.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/base/check.h"
#include "backend/https/answer.h"

namespace {

using slacker::https::Answer;

// "": no more of them.
std::string_view NextLine(std::string_view* text) {
  const std::string_view line = text->substr(0, text->find('\n') + 1);
  text->remove_prefix(line.size());
  return line == "\n" || line == "\r\n" ? std::string_view() : line;
}

absl::StatusOr<std::string> Take(uint64_t offset, uint64_t size, std::string_view text,
                                 size_t step) {
  Answer answer(offset, size);
  for (std::string_view line = NextLine(&text); !line.empty(); line = NextLine(&text)) {
    if (!answer.OnHeader(line)) return absl::InternalError("too long");
  }
  (void)answer.Info();
  while (!text.empty() && answer.OnBody(text.substr(0, step))) {
    text.remove_prefix(std::min(step, text.size()));
  }
  return answer.TakeBytes();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4) return 0;
  const uint64_t offset = data[0] + 256U * data[1];
  const uint64_t wanted = data[2] + 256U * data[3];
  const std::string_view text(reinterpret_cast<const char*>(data) + 4, size - 4);
  const auto whole = Take(offset, wanted, text, size);
  const auto pieces = Take(offset, wanted, text, 3);
  SLACKER_CHECK(whole.status().code() == pieces.status().code(), "pieces do not matter");
  if (whole.ok()) {
    SLACKER_CHECK(*whole == *pieces, "pieces do not matter");
    SLACKER_CHECK(whole->size() <= wanted, "not more than was asked for");
  }
  if (const auto range = slacker::https::ParseContentRange(text); range.ok()) {
    SLACKER_CHECK(range->length == 0 || range->first + range->length > range->first, "no overflow");
    SLACKER_CHECK(!range->total.has_value() || range->length == 0 ||
                      range->first + range->length <= *range->total,
                  "a range lies in its object");
  }
  return 0;
}
