#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>

#include "cmd/slackerctl/verbs.h"

namespace slacker::ctl {
namespace {

constexpr char kDefaultStore[] = "loopback:/var/lib/slacker/store";

// CLI11's own reading of the environment would let the variable win over another verb's option.
std::string DefaultStore() {
  const char* store = std::getenv("SLACKER_STORE");
  return store != nullptr && *store != '\0' ? store : kDefaultStore;
}

void AddCommon(CLI::App* verb, CommonArguments* common) {
  verb->add_option(
      "--store", common->store,
      "URL of the store (default: $SLACKER_STORE, or else " + std::string(kDefaultStore) + ")");
  verb->add_flag("--json", common->json, "Write JSON");
}

void AddPlatform(CLI::App* verb, std::string* platform) {
  verb->add_option("--platform", *platform, "os/arch[/variant] (default: this machine's)");
}

void AddKeys(CLI::App* verb, std::string* key, std::vector<std::string>* trusted) {
  if (key != nullptr) {
    verb->add_option("--key", *key, "File of the key that signs (slackerctl keygen)");
  }
  verb->add_option("--trusted-key", *trusted,
                   "File of a public key whose signatures count; may be given again");
}

std::string CheckChunkSize(const std::string& text) {
  uint64_t size = 0;
  const bool number = CLI::detail::lexical_cast(text, size);
  const bool good =
      number && size >= kMinChunkSize && size <= kMaxChunkSize && (size & (size - 1)) == 0;
  return good ? "" : "the chunk size must be a power of two from 4096 to 262144";
}

CLI::App* AddPublish(CLI::App* app, CommonArguments* common, PublishArguments* publish) {
  CLI::App* verb = app->add_subcommand("publish", "Put images into the store");
  verb->add_option("SOURCE", publish->sources, "docker://REFERENCE or oci:DIRECTORY[:TAG]")
      ->required();
  AddCommon(verb, common);
  AddPlatform(verb, &publish->platform);
  verb->add_option("--chunk-size", publish->chunk_size, "Bytes in a chunk")
      ->check(CLI::Validator(CheckChunkSize, "BYTES"))
      ->capture_default_str();
  verb->add_option("--zstd-level", publish->zstd_level, "How hard to compress")
      ->check(CLI::Range(1, 19))
      ->capture_default_str();
  verb->add_option("--private", publish->private_repository,
                   "Repository whose readers alone may have the images (default: as its registry "
                   "says; layouts are for everybody)");
  AddKeys(verb, &publish->key, &publish->trusted_keys);
  return verb;
}

CLI::App* AddVerify(CLI::App* app, CommonArguments* common, VerifyArguments* verify) {
  CLI::App* verb = app->add_subcommand(
      "verify", "Recompute every layer from the store and compare it with its diff ID");
  verb->add_option("IMAGE", verify->image, "Image name or chain ID (default: the whole store)");
  AddCommon(verb, common);
  AddPlatform(verb, &verify->platform);
  AddKeys(verb, nullptr, &verify->trusted_keys);
  return verb;
}

CLI::App* AddSign(CLI::App* app, CommonArguments* common, SignArguments* sign) {
  CLI::App* verb = app->add_subcommand("sign", "Sign what is published, after proving it");
  verb->add_option("IMAGE", sign->image, "Image name or chain ID (default: the whole store)");
  AddCommon(verb, common);
  AddPlatform(verb, &sign->platform);
  AddKeys(verb, &sign->key, &sign->trusted_keys);
  verb->get_option("--key")->required();
  return verb;
}

}  // namespace

int RunSlackerctl(std::vector<std::string> arguments, const Console& console) {
  CommonArguments common{.store = DefaultStore()};
  PublishArguments publish;
  VerifyArguments verify;
  SignArguments sign;
  std::string key_path;
  std::string image;
  std::string platform;
  CLI::App app("Publishes container images into a Slacker store and looks after them",
               "slackerctl");
  app.set_version_flag("--version", "slackerctl " SLACKER_VERSION);
  app.require_subcommand(1);
  const CLI::App* publish_verb = AddPublish(&app, &common, &publish);
  CLI::App* images_verb = app.add_subcommand("images", "List the published images");
  AddCommon(images_verb, &common);
  CLI::App* inspect_verb = app.add_subcommand("inspect", "Show one image and its layers");
  inspect_verb->add_option("IMAGE", image, "Image name or chain ID")->required();
  AddCommon(inspect_verb, &common);
  AddPlatform(inspect_verb, &platform);
  const CLI::App* verify_verb = AddVerify(&app, &common, &verify);
  const CLI::App* sign_verb = AddSign(&app, &common, &sign);
  CLI::App* keygen_verb = app.add_subcommand("keygen", "Make a key pair for signing");
  keygen_verb
      ->add_option("FILE", key_path, "Where the signing key goes; FILE.pub is its public half")
      ->required();
  std::reverse(arguments.begin(), arguments.end());  // the order that CLI11 wants
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, console.out, console.err);
    return code == 0 ? kExitOk : kExitUsage;
  }
  if (publish_verb->parsed()) return RunPublish(common, publish, console);
  if (images_verb->parsed()) return RunImages(common, console);
  if (inspect_verb->parsed()) return RunInspect(common, image, platform, console);
  if (verify_verb->parsed()) return RunVerify(common, verify, console);
  if (sign_verb->parsed()) return RunSign(common, sign, console);
  return RunKeygen(key_path, console);
}

}  // namespace slacker::ctl
