#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "backend/base/status.h"
#include "backend/upkeep/compact.h"
#include "cmd/slackerctl/progress.h"
#include "cmd/slackerctl/verbs/kept_store.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

absl::StatusOr<CompactReport> CompactStore(const CommonArguments& common, const Console& console) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store, OpenKeptStore(common.store));
  StatusLine line(&console, &SystemClock());
  CompactOptions options;
  options.observer = [&line](const CompactReport& report) {
    if (!line.IsDue()) return;
    line.Show(Counted(report.chunks_moved, "chunk") + " moved, " + HumanSize(report.bytes_written) +
              " written");
  };
  auto report = Compact(*store, options);
  line.Clear();
  return report;
}

void PrintCompact(const CompactReport& report, const Console& console) {
  for (const std::string& chunk : report.damaged) {
    console.err << "damaged, left where it is: " << Printable(chunk) << '\n';
  }
  console.out << Counted(report.packs_before, "pack") << " became " << report.packs_after << ": "
              << Counted(report.chunks_moved, "chunk") << " moved, "
              << HumanSize(report.bytes_written) << " written, "
              << Counted(report.chunks_converged, "duplicate") << " left out, "
              << Counted(report.locations_replaced, "list") << " of locations replaced\n";
  if (report.packs_condemned > 0) {
    console.out << "not used any more: " << Counted(report.packs_condemned, "pack") << " ("
                << HumanSize(report.bytes_condemned)
                << "); \"slackerctl gc\" removes them after the grace\n";
  }
}

nlohmann::json CompactJson(const CompactReport& report) {
  return {{"packs_before", report.packs_before},
          {"packs_after", report.packs_after},
          {"packs_written", report.packs_written},
          {"bytes_written", report.bytes_written},
          {"chunks_moved", report.chunks_moved},
          {"chunks_converged", report.chunks_converged},
          {"locations_replaced", report.locations_replaced},
          {"packs_condemned", report.packs_condemned},
          {"bytes_condemned", report.bytes_condemned},
          {"unused_bytes_left", report.unused_bytes_left},
          {"damaged", report.damaged}};
}

int RunCompact(const CommonArguments& common, const Console& console) {
  const absl::StatusOr<CompactReport> report = CompactStore(common, console);
  const int shown = ShowReport(report, common.json, console, CompactJson, PrintCompact);
  return shown == kExitOk && !report->damaged.empty() ? kExitFailed : shown;
}

Action DeclareCompact(Command* command) {
  auto common = std::make_shared<CommonArguments>();
  AddCommon(command, common.get());
  return [common](const Console& console) { return RunCompact(*common, console); };
}

}  // namespace

const Verb kCompactVerb = {"compact", "Merge small packs and leave out what nothing needs",
                           DeclareCompact};

}  // namespace slacker::ctl
