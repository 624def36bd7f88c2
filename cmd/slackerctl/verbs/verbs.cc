#include "cmd/slackerctl/verbs/verbs.h"

#include <array>

namespace slacker::ctl {

std::span<const Verb* const> Verbs() {
  static constexpr std::array kVerbs = {
      &kPublishVerb, &kImagesVerb, &kInspectVerb, &kLsVerb,      &kCatVerb,  &kDiffVerb,
      &kMountVerb,   &kExportVerb, &kVerifyVerb,  &kKeygenVerb,  &kSignVerb, &kRequestsVerb,
      &kTraceVerb,   &kRmVerb,     &kGcVerb,      &kCompactVerb, &kFsckVerb, &kStatsVerb,
      &kStatusVerb,  &kNodeVerb,   &kScrubVerb,
  };
  return kVerbs;
}

}  // namespace slacker::ctl
