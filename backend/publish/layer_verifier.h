// Verification of chains and layers: the part of verifier.h that VerifyChain and VerifyStore share.
#pragma once

#include <functional>
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
  // `read`: called with the bytes of every chunk that has been read; may be null.
  LayerVerifier(const std::shared_ptr<ReadBackend>& backend, const Trust& trust,
                std::function<void(uint64_t bytes)> read = nullptr)
      : reader_(backend, trust), read_(std::move(read)) {}

  // The manifest, all of its layers that have not been checked yet, and the manifests of the chains below it.
  // Answers why the manifest cannot be read; damage of the others goes into the report.
  absl::Status CheckChain(const Digest& chain_id);
  // The same without the manifests.
  absl::Status CheckManifest(const Manifest& manifest);
  // A record that no manifest names, if it has not been checked yet: a publication that did not
  // come to its end leaves such records, maybe without tar part and locations. What is there must
  // be sound.
  absl::Status CheckLooseRecord(const Digest& record);
  // The tar part and the locations of this name, where no sound record has led to them: whether they are what they
  // say themselves. OK when they are gone.
  absl::Status CheckLooseTar(const Digest& record);
  absl::Status CheckLooseLocations(const Digest& record);

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
  const std::function<void(uint64_t bytes)> read_;
  std::unordered_set<Digest> checked_;
  std::unordered_set<Digest>
      with_parts_;  // records whose tar parts and locations have been looked at
  VerifyReport report_;
};

}  // namespace slacker
