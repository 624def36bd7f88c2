// Options that several verbs have.
#include <CLI/CLI.hpp>
#include <cstdlib>

#include "cmd/slackerctl/verb.h"

namespace slacker::ctl {
namespace {

constexpr char kDefaultStore[] = "loopback:/var/lib/slacker/store";

// CLI11's own reading of the environment would let the variable win over another verb's option.
std::string DefaultStore() {
  const char* store = std::getenv("SLACKER_STORE");
  return store != nullptr && *store != '\0' ? store : kDefaultStore;
}

}  // namespace

void AddCommon(CLI::App* command, CommonArguments* common) {
  common->store = DefaultStore();
  command->add_option(
      "--store", common->store,
      "URL of the store (default: $SLACKER_STORE, or else " + std::string(kDefaultStore) + ")");
  command->add_flag("--json", common->json, "Write JSON");
}

void AddAccess(CLI::App* command, StoreAccess* access) {
  command->add_option("--ca-file", access->ca_file,
                      "https: PEM file of the authorities that certify the server");
  command->add_option("--client-certificate", access->client_certificate,
                      "https: PEM file of what is proved to the server");
  command->add_option("--client-key", access->client_key, "https: its key");
  command->add_option("--token-file", access->token_file, "https: file with a bearer token");
}

void AddPlatform(CLI::App* command, std::string* platform) {
  command->add_option("--platform", *platform, "os/arch[/variant] (default: this machine's)");
}

void AddSigningKey(CLI::App* command, std::string* key) {
  command->add_option("--key", *key, "File of the key that signs (slackerctl keygen)");
}

void AddTrustedKeys(CLI::App* command, std::vector<std::string>* keys) {
  command
      ->add_option("--trusted-key", *keys,
                   "File of a public key whose signatures count; may be given again")
      ->allow_extra_args(false);  // what follows the value is the next argument
}

}  // namespace slacker::ctl
