// What a measurement says of where it ran.
#pragma once

#include "cmd/hellobench/results/result.h"

namespace slacker::hellobench {

// What the kernel and /etc/os-release tell; what they do not is empty or 0.
Machine ThisMachine();

}  // namespace slacker::hellobench
