#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "backend/base/clock.h"
#include "backend/base/status.h"
#include "backend/upkeep/fsck.h"
#include "backend/upkeep/image_users.h"
#include "cmd/common/key_files.h"
#include "cmd/slackerctl/progress.h"
#include "cmd/slackerctl/verbs/damages.h"
#include "cmd/slackerctl/verbs/kept_store.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

struct FsckArguments {
  CommonArguments common;
  bool repair = false;
  std::vector<std::string> trusted_keys;  // files
};

absl::StatusOr<FsckReport> Check(const FsckArguments& arguments, const Console& console) {
  Trust trust;
  ASSIGN_OR_RETURN(trust.keys, ReadPublicKeys(arguments.trusted_keys));
  ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store, OpenKeptStore(arguments.common.store));
  VerifyDisplay display(&console, &SystemClock());
  absl::StatusOr<FsckReport> report =
      CheckStore(store, trust, arguments.repair,
                 [&display](const VerifyProgress& progress) { display.Update(progress); });
  display.Clear();
  RETURN_IF_ERROR(report.status());
  RETURN_IF_ERROR(NameUsers(*store, &report->verified.damages));
  RETURN_IF_ERROR(NameUsers(*store, &report->verified.untrusted));
  return report;
}

nlohmann::json FsckJson(const FsckReport& report) {
  return {{"manifests", report.verified.manifests},
          {"layers", report.verified.layers},
          {"chunks", report.verified.chunks},
          {"packs", report.verified.packs},
          {"loose_records", report.verified.loose_records},
          {"loose_parts", report.verified.loose_parts},
          {"loose_packs", report.verified.loose_packs},
          {"damages", DamagesJson(report.verified.damages)},
          {"untrusted", DamagesJson(report.verified.untrusted)},
          {"repaired", DamagesJson(report.repaired)},
          {"left", DamagesJson(report.left)},
          {"unnamed", report.unnamed},
          {"foreign", report.foreign}};
}

void PrintFsck(const FsckReport& report, const Console& console) {
  PrintDamages(console.out, "repaired", report.repaired);
  PrintDamages(console.out, "left as it is", report.left);
  PrintDamages(console.err, "damaged", report.verified.damages);
  PrintDamages(console.err, "untrusted", report.verified.untrusted);
  for (const std::string& name : report.unnamed) {
    console.out << "no image is called by " << Printable(name) << "; gc takes it\n";
  }
  for (const std::string& name : report.foreign) {
    console.err << "not the store's, left alone: " << Printable(name) << '\n';
  }
  console.out << "checked " << Counted(report.verified.manifests, "manifest") << ", "
              << Counted(report.verified.layers, "layer") << ", "
              << Counted(report.verified.chunks, "chunk") << " ("
              << HumanSize(report.verified.content_bytes) << "), "
              << Counted(report.verified.packs, "pack") << ": ";
  PrintVerdict(report.verified, console);
}

int RunFsck(const FsckArguments& arguments, const Console& console) {
  const absl::StatusOr<FsckReport> report = Check(arguments, console);
  const int shown = ShowReport(report, arguments.common.json, console, FsckJson, PrintFsck);
  return shown == kExitOk ? ExitCodeOf(report->verified) : shown;
}

Action DeclareFsck(Command* command) {
  auto arguments = std::make_shared<FsckArguments>();
  AddCommon(command, &arguments->common);
  command->Flag("--repair", &arguments->repair,
                "Make anew what can be, move aside what is damaged");
  AddTrustedKeys(command, &arguments->trusted_keys);
  return [arguments](const Console& console) { return RunFsck(*arguments, console); };
}

}  // namespace

const Verb kFsckVerb = {"fsck", "Check every object, reference and checksum of the store",
                        DeclareFsck};

}  // namespace slacker::ctl
