#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "backend/base/status.h"
#include "backend/upkeep/fsck.h"
#include "cmd/common/key_files.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

struct Arguments {
  CommonArguments common;
  bool repair = false;
  std::vector<std::string> trusted_keys;  // files
};

absl::StatusOr<FsckReport> Check(const Arguments& arguments) {
  Trust trust;
  ASSIGN_OR_RETURN(trust.keys, ReadPublicKeys(arguments.trusted_keys));
  ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store,
                   OpenExistingBackend(arguments.common.store));
  return CheckStore(store, trust, arguments.repair);
}

nlohmann::json DamagesJson(const std::vector<Damage>& damages) {
  nlohmann::json list = nlohmann::json::array();
  for (const Damage& damage : damages) {
    list.push_back({{"object", damage.object}, {"what", damage.what}});
  }
  return list;
}

void PrintReport(const FsckReport& report, const Console& console) {
  for (const Damage& damage : report.repaired) {
    console.out << "repaired: " << Printable(damage.object) << ": " << Printable(damage.what)
                << '\n';
  }
  for (const Damage& damage : report.verified.damages) {
    console.err << "damaged: " << Printable(damage.object) << ": " << Printable(damage.what)
                << '\n';
  }
  for (const std::string& name : report.foreign) {
    console.err << "not the store's, left alone: " << Printable(name) << '\n';
  }
  console.out << "checked " << report.verified.manifests << " manifests, " << report.verified.layers
              << " layers, " << report.verified.chunks << " chunks ("
              << HumanSize(report.verified.content_bytes) << "), " << report.verified.packs
              << " packs: ";
  if (report.verified.damages.empty()) {
    console.out << "everything is sound\n";
  } else {
    console.out << report.verified.damages.size() << " damages\n";
  }
}

int RunFsck(const Arguments& arguments, const Console& console) {
  const absl::StatusOr<FsckReport> report = Check(arguments);
  if (!report.ok()) {
    PrintError(console.err, report.status());
    return kExitFailed;
  }
  if (arguments.common.json) {
    PrintJson(console.out, {{"manifests", report->verified.manifests},
                            {"layers", report->verified.layers},
                            {"chunks", report->verified.chunks},
                            {"packs", report->verified.packs},
                            {"damages", DamagesJson(report->verified.damages)},
                            {"repaired", DamagesJson(report->repaired)},
                            {"foreign", report->foreign}});
  } else {
    PrintReport(*report, console);
  }
  return report->verified.damages.empty() ? kExitOk : kExitFailed;
}

Action DeclareFsck(CLI::App* command) {
  auto arguments = std::make_shared<Arguments>();
  AddCommon(command, &arguments->common);
  command->add_flag("--repair", arguments->repair,
                    "Make anew what can be, move aside what is damaged");
  AddTrustedKeys(command, &arguments->trusted_keys);
  return [arguments](const Console& console) { return RunFsck(*arguments, console); };
}

}  // namespace

const Verb kFsckVerb = {"fsck", "Check every object, reference and checksum of the store",
                        DeclareFsck};

}  // namespace slacker::ctl
