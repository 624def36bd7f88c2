// What verify, fsck and sign have found wrong, for people and for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "backend/publish/verifier.h"
#include "cmd/slackerctl/verb.h"

namespace slacker::ctl {

// An array of {"object", "what", "images", "unused"}.
nlohmann::json DamagesJson(const std::vector<Damage>& damages);
// A line for each, "LABEL: OBJECT: WHAT".
void PrintDamages(std::ostream& out, const char* label, const std::vector<Damage>& damages);

// How a report on a store's state ends: "everything is sound", or how much is not; and its exit code.
void PrintVerdict(const VerifyReport& report, const Console& console);
int ExitCodeOf(const VerifyReport& report);

}  // namespace slacker::ctl
