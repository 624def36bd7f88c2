// keygen and sign.
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>

#include "backend/base/status.h"
#include "backend/publish/signer.h"
#include "cmd/common/key_files.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/image_lookup.h"
#include "cmd/slackerctl/verbs.h"

namespace slacker::ctl {
namespace {

absl::StatusOr<SignReport> Sign(const std::string& url, const SignArguments& arguments) {
  ASSIGN_OR_RETURN(const SigningKey key, ReadSigningKey(arguments.key));
  Trust trust;
  ASSIGN_OR_RETURN(trust.keys, ReadPublicKeys(arguments.trusted_keys));
  ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store, OpenExistingBackend(url));
  std::optional<Digest> chain;
  if (!arguments.image.empty()) {
    ASSIGN_OR_RETURN(const FoundImage found,
                     FindImage(*store, arguments.image, arguments.platform));
    chain = found.chain_id;
  }
  return SignManifests(store, chain, key, trust);
}

nlohmann::json ReportJson(const SignReport& report) {
  nlohmann::json damages = nlohmann::json::array();
  for (const Damage& damage : report.damages) {
    damages.push_back({{"object", damage.object}, {"what", damage.what}});
  }
  return {{"manifests", report.manifests},
          {"signed_already", report.signed_already},
          {"damages", damages}};
}

void PrintReport(const SignReport& report, const Console& console) {
  for (const Damage& damage : report.damages) {
    console.err << "damaged: " << Printable(damage.object) << ": " << Printable(damage.what)
                << '\n';
  }
  if (!report.damages.empty()) {
    console.out << "nothing was signed: " << report.damages.size() << " damages\n";
    return;
  }
  console.out << "signed " << report.manifests << " manifests, " << report.signed_already
              << " had this signature already\n";
}

}  // namespace

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

int RunSign(const CommonArguments& common, const SignArguments& arguments, const Console& console) {
  const absl::StatusOr<SignReport> report = Sign(common.store, arguments);
  if (!report.ok()) {
    PrintError(console.err, report.status());
    return kExitFailed;
  }
  if (common.json) {
    PrintJson(console.out, ReportJson(*report));
  } else {
    PrintReport(*report, console);
  }
  return report->damages.empty() ? kExitOk : kExitFailed;
}

}  // namespace slacker::ctl
