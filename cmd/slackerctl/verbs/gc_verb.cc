#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "backend/base/status.h"
#include "backend/upkeep/gc.h"
#include "cmd/common/duration.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/verbs/kept_store.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

struct GcArguments {
  CommonArguments common;
  std::string grace = "30d";
  bool dry_run = false;
};

// What a publication leaves that died at its first object: an unfinished file, which has no name in a store,
// and nothing else. `refused`: why it is no store.
absl::StatusOr<GcReport> CollectNothing(const GcArguments& arguments, const absl::Status& refused) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Backend> directory,
                   OpenExistingBackend(arguments.common.store));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, directory->List(""));
  if (!names.empty()) return refused;
  if (!arguments.dry_run) RETURN_IF_ERROR(OpenBackend(arguments.common.store).status());
  return GcReport();
}

absl::StatusOr<GcReport> Collect(const GcArguments& arguments, int64_t grace_seconds) {
  const GcOptions options{.grace_seconds = grace_seconds, .dry_run = arguments.dry_run};
  auto store = OpenKeptStore(arguments.common.store);
  if (absl::IsNotFound(store.status())) return CollectNothing(arguments, store.status());
  RETURN_IF_ERROR(store.status());
  if (!arguments.dry_run) {
    // As for publishing: that sweeps what dead writers left unfinished.
    store = OpenBackend(arguments.common.store);
    RETURN_IF_ERROR(store.status());
  }
  return CollectGarbage(**store, options);
}

struct GcTotal {
  const char* what;
  const char* key;
  const GcReport::Total* total;
};

std::vector<GcTotal> Totals(const GcReport& report) {
  return {{"in use", "in_use", &report.in_use},
          {"not used, written within a day", "young", &report.young},
          {"condemned, waiting for the grace", "waiting", &report.waiting},
          {"condemned now", "condemned", &report.condemned},
          {"removed", "removed", &report.removed}};
}

void PrintGc(const GcArguments& arguments, const GcReport& report, const Console& console) {
  if (arguments.dry_run) {
    for (const std::string& action : report.actions) {
      console.out << "would " << Printable(action) << '\n';
    }
  }
  std::vector<std::vector<Cell>> rows;
  for (const GcTotal& row : Totals(report)) {
    rows.push_back({TextCell(row.what), CountCell(row.total->objects), SizeCell(row.total->bytes)});
  }
  PrintRows(console, {"WHAT", "OBJECTS", "SIZE"}, rows);
  if (report.reprieved > 0)
    console.out << "in use again: " << Counted(report.reprieved, "object") << '\n';
  if (report.restored > 0) console.out << report.restored << " of them were brought back\n";
  for (const std::string& name : report.unreadable) {
    console.err << "cannot be read, nothing is removed until it is written anew, or a day old: "
                << Printable(name) << '\n';
  }
  for (const std::string& name : report.foreign) {
    console.err << "not the store's, left alone: " << Printable(name) << '\n';
  }
}

nlohmann::json GcJson(const GcArguments& arguments, const GcReport& report) {
  nlohmann::json json = {{"dry_run", arguments.dry_run},    {"reprieved", report.reprieved},
                         {"restored", report.restored},     {"actions", report.actions},
                         {"unreadable", report.unreadable}, {"foreign", report.foreign}};
  for (const GcTotal& row : Totals(report)) {
    json[row.key] = {{"objects", row.total->objects}, {"bytes", row.total->bytes}};
  }
  return json;
}

int RunGc(const GcArguments& arguments, const Console& console) {
  const absl::StatusOr<int64_t> grace_seconds = ParseDuration(arguments.grace);
  if (!grace_seconds.ok()) {
    PrintError(console.err, grace_seconds.status());
    return kExitUsage;
  }
  return ShowReport(
      Collect(arguments, *grace_seconds), arguments.common.json, console,
      [&](const GcReport& report) { return GcJson(arguments, report); },
      [&](const GcReport& report, const Console& to) { PrintGc(arguments, report, to); });
}

Action DeclareGc(Command* command) {
  auto arguments = std::make_shared<GcArguments>();
  AddCommon(command, &arguments->common);
  command
      ->Add("--grace", &arguments->grace,
            "How long something must have been found unused before it goes: 30d, 12h, 0")
      .ShowDefault();
  command->Flag("--dry-run", &arguments->dry_run, "Only say what would be done");
  return [arguments](const Console& console) { return RunGc(*arguments, console); };
}

}  // namespace

const Verb kGcVerb = {"gc", "Remove what no image needs any more", DeclareGc};

}  // namespace slacker::ctl
