// What can be done about an error, beside what it says.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace slacker {

// The same status with `hint`, half a sentence for people; it survives Annotate. OK stays OK.
absl::Status WithHint(absl::Status status, std::string_view hint);

// Of an error without a hint, what its kind says for certain; else "".
std::string HintOf(const absl::Status& status);

}  // namespace slacker
