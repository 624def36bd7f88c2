#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "backend/base/status.h"
#include "backend/publish/verifier.h"
#include "cmd/common/key_files.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/image_lookup.h"
#include "cmd/slackerctl/verbs/damages.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

struct Arguments {
  CommonArguments common;
  std::string image;  // empty: the whole store
  std::string platform;
  std::vector<std::string> trusted_keys;  // files
};

absl::StatusOr<VerifyReport> Verify(const Arguments& arguments) {
  Trust trust;
  ASSIGN_OR_RETURN(trust.keys, ReadPublicKeys(arguments.trusted_keys));
  if (arguments.image.empty()) {
    ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store,
                     OpenExistingBackend(arguments.common.store));
    return VerifyStore(store, trust);
  }
  ASSIGN_OR_RETURN(const OpenedImage opened,
                   OpenImage(arguments.common, arguments.image, arguments.platform));
  return VerifyChain(opened.store, opened.image.chain_id, trust);
}

void PrintReport(const VerifyReport& report, const Console& console) {
  PrintDamages(console.err, "damaged", report.damages);
  PrintDamages(console.err, "untrusted", report.untrusted);
  console.out << "verified " << report.manifests << " manifests, " << report.layers << " layers, "
              << report.chunks << " chunks (" << HumanSize(report.content_bytes) << ")";
  if (report.signatures > 0) console.out << ", " << report.signatures << " signatures";
  if (report.unknown_signatures > 0) {
    console.out << ", but not " << report.unknown_signatures << " signatures of unknown keys";
  }
  console.out << ": ";
  PrintVerdict(report, console);
}

nlohmann::json ReportJson(const VerifyReport& report) {
  return {{"manifests", report.manifests},
          {"signatures", report.signatures},
          {"unknown_signatures", report.unknown_signatures},
          {"layers", report.layers},
          {"chunks", report.chunks},
          {"content_bytes", report.content_bytes},
          {"loose_records", report.loose_records},
          {"packs", report.packs},
          {"damages", DamagesJson(report.damages)},
          {"untrusted", DamagesJson(report.untrusted)}};
}

// Damage is a failure, and so is what the given keys have not signed.
int RunVerify(const Arguments& arguments, const Console& console) {
  const absl::StatusOr<VerifyReport> report = Verify(arguments);
  const int shown = ShowReport(report, arguments.common.json, console, ReportJson, PrintReport);
  return shown == kExitOk ? ExitCodeOf(*report) : shown;
}

Action DeclareVerify(Command* command) {
  auto arguments = std::make_shared<Arguments>();
  command->Add("IMAGE", &arguments->image, "Image name or chain ID (default: the whole store)");
  AddCommon(command, &arguments->common);
  AddAccess(command, &arguments->common.access);
  AddPlatform(command, &arguments->platform);
  AddTrustedKeys(command, &arguments->trusted_keys);
  return [arguments](const Console& console) { return RunVerify(*arguments, console); };
}

}  // namespace

const Verb kVerifyVerb = {"verify",
                          "Recompute every layer from the store and compare it with its diff ID",
                          DeclareVerify};

}  // namespace slacker::ctl
