#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "backend/base/clock.h"
#include "backend/base/status.h"
#include "backend/publish/verifier.h"
#include "backend/upkeep/image_users.h"
#include "cmd/common/key_files.h"
#include "cmd/slackerctl/image_lookup.h"
#include "cmd/slackerctl/progress.h"
#include "cmd/slackerctl/verbs/damages.h"
#include "cmd/slackerctl/verbs/kept_store.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

struct VerifyArguments {
  CommonArguments common;
  std::vector<std::string> images;  // empty: the whole store
  std::string platform;
  std::vector<std::string> trusted_keys;  // files
};

// What images share is read, and counted, for each of them.
void Add(const VerifyReport& report, VerifyReport* all) {
  all->manifests += report.manifests;
  all->signatures += report.signatures;
  all->unknown_signatures += report.unknown_signatures;
  all->layers += report.layers;
  all->chunks += report.chunks;
  all->content_bytes += report.content_bytes;
  all->damages.insert(all->damages.end(), report.damages.begin(), report.damages.end());
  all->untrusted.insert(all->untrusted.end(), report.untrusted.begin(), report.untrusted.end());
}

absl::StatusOr<VerifyReport> VerifyWithProgress(const std::shared_ptr<Backend>& store,
                                                const Trust& trust, const Console& console) {
  VerifyDisplay display(&console, &SystemClock());
  auto report = VerifyStore(
      store, trust, [&display](const VerifyProgress& progress) { display.Update(progress); });
  display.Clear();
  return report;
}

absl::StatusOr<VerifyReport> Verify(const VerifyArguments& arguments, const Console& console) {
  Trust trust;
  ASSIGN_OR_RETURN(trust.keys, ReadPublicKeys(arguments.trusted_keys));
  if (arguments.images.empty()) {
    ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store, OpenKeptStore(arguments.common.store));
    ASSIGN_OR_RETURN(VerifyReport report, VerifyWithProgress(store, trust, console));
    RETURN_IF_ERROR(NameUsers(*store, &report.damages));
    RETURN_IF_ERROR(NameUsers(*store, &report.untrusted));
    return report;
  }
  VerifyReport all;
  for (const std::string& image : arguments.images) {
    ASSIGN_OR_RETURN(const OpenedImage opened,
                     OpenImage(arguments.common, image, arguments.platform));
    ASSIGN_OR_RETURN(VerifyReport report, VerifyChain(opened.store, opened.image.chain_id, trust));
    for (Damage& damage : report.damages) damage.images = {image};
    for (Damage& untrusted : report.untrusted) untrusted.images = {image};
    Add(report, &all);
  }
  return all;
}

void PrintVerify(const VerifyReport& report, const Console& console) {
  PrintDamages(console.err, "damaged", report.damages);
  PrintDamages(console.err, "untrusted", report.untrusted);
  console.out << "verified " << Counted(report.manifests, "manifest") << ", "
              << Counted(report.layers, "layer") << ", " << Counted(report.chunks, "chunk") << " ("
              << HumanSize(report.content_bytes) << ")";
  if (report.signatures > 0) console.out << ", " << Counted(report.signatures, "signature");
  if (report.unknown_signatures > 0) {
    console.out << ", but not " << Counted(report.unknown_signatures, "signature")
                << " of unknown keys";
  }
  console.out << ": ";
  PrintVerdict(report, console);
}

nlohmann::json VerifyJson(const VerifyReport& report) {
  return {{"manifests", report.manifests},
          {"signatures", report.signatures},
          {"unknown_signatures", report.unknown_signatures},
          {"layers", report.layers},
          {"chunks", report.chunks},
          {"content_bytes", report.content_bytes},
          {"loose_records", report.loose_records},
          {"loose_parts", report.loose_parts},
          {"packs", report.packs},
          {"loose_packs", report.loose_packs},
          {"damages", DamagesJson(report.damages)},
          {"untrusted", DamagesJson(report.untrusted)}};
}

// Damage is a failure, and so is what the given keys have not signed.
int RunVerify(const VerifyArguments& arguments, const Console& console) {
  const absl::StatusOr<VerifyReport> report = Verify(arguments, console);
  const int shown = ShowReport(report, arguments.common.json, console, VerifyJson, PrintVerify);
  return shown == kExitOk ? ExitCodeOf(*report) : shown;
}

Action DeclareVerify(Command* command) {
  auto arguments = std::make_shared<VerifyArguments>();
  command->Add("IMAGE", &arguments->images, "Image names or chain IDs (default: the whole store)");
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
