// Options that several verbs have.
#include <cstdlib>

#include "backend/base/status.h"
#include "backend/source/platform.h"
#include "cmd/slackerctl/verb.h"

namespace slacker::ctl {
namespace {

constexpr char kDefaultStore[] = "loopback:/var/lib/slacker/store";

// CLI11's own reading of the environment would let the variable win over another verb's option.
std::string DefaultStore() {
  const char* store = std::getenv("SLACKER_STORE");
  return store != nullptr && *store != '\0' ? store : kDefaultStore;
}

std::string StoreProblem(const std::string& url) {
  if (url == "memory:") return "a store in memory would be gone with slackerctl";
  return Message(ValidateStoreUrl(url));
}

}  // namespace

void AddCommon(Command* command, CommonArguments* common) {
  common->store = DefaultStore();
  command
      ->Add(
          "--store", &common->store,
          "URL of the store (default: $SLACKER_STORE, or else " + std::string(kDefaultStore) + ")")
      .Checked("", StoreProblem);
  command->Flag("--json", &common->json, "Write JSON");
}

void AddAccess(Command* command, StoreAccess* access) {
  command->Add("--ca-file", &access->ca_file,
               "https: PEM file of the authorities that certify the server");
  command->Add("--client-certificate", &access->client_certificate,
               "https: PEM file of what is proved to the server");
  command->Add("--client-key", &access->client_key, "https: its key");
  command->Add("--token-file", &access->token_file, "https: file with a bearer token");
}

std::string PlatformProblem(const std::string& text) {
  return Message(ParsePlatform(text).status());
}

void AddPlatform(Command* command, std::string* platform) {
  command->Add("--platform", platform, "os/arch[/variant] (default: this machine's)")
      .Checked("", PlatformProblem);
}

Option AddSigningKey(Command* command, std::string* key) {
  return command->Add("--key", key, "File of the key that signs (slackerctl keygen)");
}

void AddTrustedKeys(Command* command, std::vector<std::string>* keys) {
  command
      ->Add("--trusted-key", keys,
            "File of a public key whose signatures count; may be given again")
      .OneByOne();  // what follows the value is the next argument
}

}  // namespace slacker::ctl
