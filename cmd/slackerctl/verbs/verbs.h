// The verbs of slackerctl, each in the file of its name.
#pragma once

#include <span>

#include "cmd/slackerctl/verb.h"

namespace slacker::ctl {

// All of them, in the order in which --help shows them.
std::span<const Verb* const> Verbs();

extern const Verb kPublishVerb;
extern const Verb kImagesVerb;
extern const Verb kInspectVerb;
extern const Verb kLsVerb;
extern const Verb kCatVerb;
extern const Verb kDiffVerb;
extern const Verb kMountVerb;
extern const Verb kExportVerb;
extern const Verb kVerifyVerb;
extern const Verb kKeygenVerb;
extern const Verb kSignVerb;
extern const Verb kRequestsVerb;
extern const Verb kTraceVerb;
extern const Verb kRmVerb;
extern const Verb kGcVerb;
extern const Verb kCompactVerb;
extern const Verb kFsckVerb;
extern const Verb kStatsVerb;
extern const Verb kStatusVerb;
extern const Verb kNodeVerb;
extern const Verb kScrubVerb;

}  // namespace slacker::ctl
