#include "backend/publish/boot_publisher.h"

#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/publish/trace_publisher.h"
#include "backend/source/start_command.h"
#include "backend/startup/image_files.h"
#include "backend/startup/startup_guess.h"

namespace slacker {
namespace {

absl::Status GuessAndWrite(const std::shared_ptr<Backend>& backend, const Digest& chain_id,
                           const std::vector<Digest>& records, const StartCommand& command) {
  const StoreReader reader(backend);
  std::vector<Layer> layers;
  layers.reserve(records.size());  // pointed to
  std::vector<const Layer*> trees;
  std::vector<ChainLayer> chain_layers;
  for (const Digest& record : records) {
    ASSIGN_OR_RETURN(DecodedRecord decoded, reader.ReadLayer(record));
    layers.push_back(std::move(decoded.layer));
    trees.push_back(&layers.back());
    chain_layers.push_back({record, &layers.back()});
  }
  ChainReader chain(&reader, std::move(chain_layers));
  ImageFiles files(std::move(trees),
                   [&chain](uint32_t layer, uint32_t chunk) -> absl::StatusOr<std::string> {
                     ASSIGN_OR_RETURN(std::vector<std::string> read, chain.Read({layer, chunk, 1}));
                     return std::move(read.front());
                   });
  BootPlan trace;
  trace.made_of = GuessId(command);
  ASSIGN_OR_RETURN(trace.chunks, GuessStartup(files, command));
  return WriteBootPack(*backend, chain_id, chain, trace, nullptr);
}

// What was seen, if it was: the pack of it is damaged, or was signed with another key.
absl::Status Write(const std::shared_ptr<Backend>& backend, const Digest& chain_id,
                   const std::vector<Digest>& records, const StartCommand& command,
                   const SigningKey* key) {
  ASSIGN_OR_RETURN(const bool was_seen, PublishMergedTrace(backend, chain_id, records, key));
  return was_seen ? absl::OkStatus() : GuessAndWrite(backend, chain_id, records, command);
}

}  // namespace

absl::Status PublishBootPack(const std::shared_ptr<Backend>& backend, const Digest& chain_id,
                             const std::vector<Digest>& records, const std::string& config_json,
                             const SigningKey* key, const std::vector<PublicKey>& trusted_keys) {
  const auto ignore = [&chain_id](const absl::Status& status) {
    Log(LogLevel::kWarning, "an image is published without a boot pack, ignoring",
        {{"chain", chain_id.ToString()}, {"error", Message(status)}});
    return absl::OkStatus();
  };
  const auto command = ParseStartCommand(config_json);
  if (!command.ok()) return ignore(command.status());
  std::vector<PublicKey> keys;
  if (key != nullptr) {
    keys = trusted_keys;
    keys.push_back(key->public_key());
  }
  ASSIGN_OR_RETURN(const bool has, HasBootPack(*backend, chain_id, records, BootOrigin::kGuess,
                                               GuessId(*command), keys));
  if (has) return absl::OkStatus();
  const absl::Status written = Write(backend, chain_id, records, *command, key);
  // What the image's own objects are like was not the question of this publication.
  if (absl::IsDataLoss(written) || absl::IsNotFound(written)) return ignore(written);
  return written;
}

}  // namespace slacker
