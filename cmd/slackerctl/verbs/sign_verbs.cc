// keygen and sign.
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <set>

#include "backend/base/image_reference.h"
#include "backend/base/status.h"
#include "backend/publish/signer.h"
#include "cmd/common/key_files.h"
#include "cmd/slackerctl/image_lookup.h"
#include "cmd/slackerctl/progress.h"
#include "cmd/slackerctl/verbs/damages.h"
#include "cmd/slackerctl/verbs/kept_store.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

struct SignArguments {
  CommonArguments common;
  std::string image;  // empty: everything
  std::string platform;
  std::string key;                        // file
  std::vector<std::string> trusted_keys;  // files
  std::vector<std::string> readers;       // repositories whose unsigned grants are signed
  bool to_everybody = false;              // unsigned grants to them are
};

absl::StatusOr<SignReport> Sign(const SignArguments& arguments, const Console& console) {
  ASSIGN_OR_RETURN(const SigningKey key, ReadSigningKey(arguments.key));
  Trust trust;
  ASSIGN_OR_RETURN(trust.keys, ReadPublicKeys(arguments.trusted_keys));
  std::set<std::string> unsigned_grants;
  if (arguments.to_everybody) unsigned_grants.insert("");
  for (const std::string& readers : arguments.readers) {
    ASSIGN_OR_RETURN(const ImageReference reference, ParseImageReference(readers));
    unsigned_grants.insert(reference.RepositoryName());
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store, OpenKeptStore(arguments.common.store));
  std::optional<Digest> chain;
  if (!arguments.image.empty()) {
    ASSIGN_OR_RETURN(const FoundImage found,
                     FindImage(*store, arguments.image, arguments.platform));
    chain = found.chain_id;
  }
  VerifyDisplay display(&console, &SystemClock());
  auto report =
      SignManifests(store, chain, key, trust, unsigned_grants,
                    [&display](const VerifyProgress& progress) { display.Update(progress); });
  display.Clear();
  return report;
}

nlohmann::json SignJson(const SignReport& report) {
  nlohmann::json grants = nlohmann::json::array();
  for (const Grant& grant : report.grants) {
    grants.push_back(
        {{"chain_id", grant.chain_id.ToString()}, {"private_repository", grant.repository}});
  }
  return {{"manifests", report.manifests},           {"grants", std::move(grants)},
          {"signed_already", report.signed_already}, {"boot_packs", report.boot_packs},
          {"left", DamagesJson(report.left)},        {"damages", DamagesJson(report.damages)}};
}

void PrintSign(const SignReport& report, const Console& console) {
  PrintDamages(console.err, "damaged", report.damages);
  if (!report.damages.empty()) {
    console.out << "nothing was signed: " << Counted(report.damages.size(), "damage") << '\n';
    return;
  }
  PrintDamages(console.err, "not signed", report.left);
  for (const Grant& grant : report.grants) {
    console.out << "granted to "
                << (grant.repository.empty() ? "everybody"
                                             : "the readers of " + Printable(grant.repository))
                << ": " << grant.chain_id.ToString() << '\n';
  }
  console.out << "signed " << Counted(report.manifests, "manifest") << ", " << report.signed_already
              << " had this signature already";
  if (report.boot_packs > 0) console.out << "; " << Counted(report.boot_packs, "boot pack");
  console.out << '\n';
}

// A new key pair: `path` and `path`.pub.
int RunKeygen(const std::string& path, const Console& console) {
  const SigningKey key = SigningKey::Generate();
  if (const absl::Status written = WriteKeyPair(key, path); !written.ok()) {
    PrintError(console.err, written);
    return kExitFailed;
  }
  console.out << "signing key: " << Printable(path) << '\n'
              << "public key:  " << Printable(path) << ".pub\n"
              << "key ID:      " << key.public_key().id().ToHex() << '\n';
  return kExitOk;
}

int RunSign(const SignArguments& arguments, const Console& console) {
  const absl::StatusOr<SignReport> report = Sign(arguments, console);
  const int shown = ShowReport(report, arguments.common.json, console, SignJson, PrintSign);
  const bool all = report.ok() && report->damages.empty() && report->left.empty();
  return shown == kExitOk && !all ? kExitFailed : shown;
}

Action DeclareKeygen(Command* command) {
  auto path = std::make_shared<std::string>();
  command->Add("FILE", path.get(), "Where the signing key goes; FILE.pub is its public half")
      .Required();
  return [path](const Console& console) { return RunKeygen(*path, console); };
}

Action DeclareSign(Command* command) {
  auto arguments = std::make_shared<SignArguments>();
  command->Add("IMAGE", &arguments->image, "Image name or chain ID (default: the whole store)");
  AddCommon(command, &arguments->common);
  AddPlatform(command, &arguments->platform);
  AddSigningKey(command, &arguments->key).Required();
  AddTrustedKeys(command, &arguments->trusted_keys);
  command->Flag("--public", &arguments->to_everybody,
                "Sign unsigned grants to everybody, too: nothing in the store proves them");
  command
      ->Add("--private", &arguments->readers,
            "Sign unsigned grants to who may read REPOSITORY, too; may be given again")
      .OneByOne();
  return [arguments](const Console& console) { return RunSign(*arguments, console); };
}

}  // namespace

const Verb kKeygenVerb = {"keygen", "Make a key pair for signing", DeclareKeygen};
const Verb kSignVerb = {"sign", "Sign what is published, after proving it", DeclareSign};

}  // namespace slacker::ctl
