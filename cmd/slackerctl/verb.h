// What a verb of slackerctl is. A verb is a file of its own: it declares its options beside what it
// does with them, and has one line in the table of verbs/verbs.cc.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/command.h"
#include "cmd/slackerctl/output.h"

namespace slacker::ctl {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

// Does a verb's work, writes its result to the console and returns the exit code: kExitFailed with
// the reason on `err`, kExitUsage for arguments that can be seen to be wrong.
using Action = std::function<int(const Console&)>;

struct Verb {
  const char* name;
  const char* help;  // one line, without a full stop
  // Adds the options to the verb's own command and returns what is to be done once they have been
  // parsed. The action owns what they are parsed into.
  Action (*declare)(Command* command);
};

// What nearly every verb takes.
struct CommonArguments {
  std::string store;  // URL
  StoreAccess access;
  bool json = false;
};
void AddCommon(Command* command, CommonArguments* common);
// For verbs that only read: a store behind a web server will do.
void AddAccess(Command* command, StoreAccess* access);
void AddPlatform(Command* command, std::string* platform);
// For Option::Checked.
std::string PlatformProblem(const std::string& text);
Option AddSigningKey(Command* command, std::string* key);
void AddTrustedKeys(Command* command, std::vector<std::string>* keys);

// How most verbs end: shows the error; or else the report, as to_json(report) for programs that ask for
// it, or by print(report, console). The exit code: kExitOk or kExitFailed.
template <class Report, class ToJson, class Print>
int ShowReport(const absl::StatusOr<Report>& report, bool json, const Console& console,
               const ToJson& to_json, const Print& print) {
  if (!report.ok()) {
    PrintError(console.err, report.status());
    return kExitFailed;
  }
  if (json) {
    PrintJson(console.out, to_json(*report));
  } else {
    print(*report, console);
  }
  return kExitOk;
}

}  // namespace slacker::ctl
