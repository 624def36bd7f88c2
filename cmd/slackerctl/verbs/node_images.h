// The second half of the verb `images`: what this node has, instead of what a store has.
#pragma once

#include <string>

#include "cmd/slackerctl/verb.h"

namespace slacker::ctl {

// Looks into the root directory of a slackerd, which may run; asks no store.
int ListNodeImages(const std::string& root, bool json, const Console& console);

}  // namespace slacker::ctl
