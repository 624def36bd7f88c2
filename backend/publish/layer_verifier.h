// Verification of chains and layers: the part of verifier.h that VerifyChain and VerifyStore share.
#pragma once

#include <memory>
#include <string>
#include <unordered_set>

#include "absl/status/status.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/layer/tar_reader.h"
#include "backend/publish/verifier.h"
#include "backend/store/store.h"

namespace slacker {

// Whether an error is damage of the store, which goes into a report; everything else means that we
// could not look.
bool IsDamage(const absl::Status& status);

// One verification; one thread.
class LayerVerifier {
 public:
  LayerVerifier(const std::shared_ptr<ReadBackend>& backend, const Trust& trust)
      : reader_(backend, trust) {}

  // The manifest, and all of its layers that have not been checked yet. Answers why the manifest
  // cannot be read; damage of layers goes into the report.
  absl::Status CheckChain(const Digest& chain_id);
  absl::Status CheckManifest(const Manifest& manifest);
  // A record that no manifest names, if it has not been checked yet: a publication that did not
  // come to its end leaves such records, maybe without tar part and locations. What is there must
  // be sound.
  absl::Status CheckLooseRecord(const Digest& record);

  // Reports `status` as damage of `object`; answers it where it is something else.
  absl::Status Note(const std::string& object, const absl::Status& status);

  VerifyReport& report() { return report_; }

 private:
  absl::Status CheckLayer(const ManifestLayer& expected);
  // `tar`: null where it cannot be read.
  absl::Status CheckContent(const Digest& record, const Layer& layer, TarPartReader* tar,
                            Locations locations);
  absl::Status CheckTar(const std::string& name, const Layer& layer, TarPartReader& tar,
                        const ChunkReader& look, const uint64_t* bad_chunks);

  const StoreReader reader_;
  std::unordered_set<Digest> checked_;
  VerifyReport report_;
};

}  // namespace slacker
