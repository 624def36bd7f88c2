#include "backend/publish/verifier.h"

#include <set>
#include <string_view>
#include <utility>

#include "backend/base/status.h"
#include "backend/publish/layer_verifier.h"
#include "backend/publish/pack_verifier.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "backend/store/store.h"

namespace slacker {
namespace {

constexpr std::string_view kManifestsPrefix = "manifests/";
constexpr std::string_view kRecordsPrefix = "records/";

// Everything in a store; one thread.
class StoreVerifier {
 public:
  explicit StoreVerifier(const std::shared_ptr<Backend>& backend)
      : backend_(backend), layers_(backend) {}

  absl::StatusOr<VerifyReport> Run() {
    RETURN_IF_ERROR(ForEach(kManifestsPrefix, &StoreVerifier::CheckManifest));
    RETURN_IF_ERROR(ForEach(kRecordsPrefix, &StoreVerifier::CheckRecord));
    RETURN_IF_ERROR(ForEach(kPacksPrefix, &StoreVerifier::CheckPackIndex));
    RETURN_IF_ERROR(ForEach(kImagesPrefix, &StoreVerifier::CheckImage));
    return std::move(layers_.report());
  }

 private:
  // Calls `check` for each name below `prefix`, and takes its answer for damage of that object.
  absl::Status ForEach(std::string_view prefix,
                       absl::Status (StoreVerifier::*check)(const std::string&)) {
    ASSIGN_OR_RETURN(const std::vector<std::string> names, backend_->List(prefix));
    for (const std::string& name : names) {
      RETURN_IF_ERROR(layers_.Note(name, (this->*check)(name)));
    }
    return absl::OkStatus();
  }

  absl::Status CheckManifest(const std::string& name) {
    const std::string_view rest = std::string_view(name).substr(kManifestsPrefix.size());
    const absl::StatusOr<Digest> chain = Digest::FromHex(rest.substr(0, rest.find('/')));
    if (!chain.ok() || name != ManifestName(*chain)) {
      return DataLoss("its name is not that of a manifest");
    }
    chains_.insert(*chain);
    return layers_.CheckChain(*chain);
  }

  absl::Status CheckRecord(const std::string& name) {
    const absl::StatusOr<Digest> record =
        Digest::FromHex(std::string_view(name).substr(kRecordsPrefix.size()));
    if (!record.ok()) return DataLoss("its name is not that of a record");
    return layers_.CheckLooseRecord(*record);
  }

  // A pack that has no index yet is of no interest to anybody but the layers that have it in their
  // locations.
  absl::Status CheckPackIndex(const std::string& name) {
    const absl::StatusOr<Digest> pack = ParsePackIndexName(name);
    if (!pack.ok()) return absl::OkStatus();
    ++layers_.report().packs;
    ASSIGN_OR_RETURN(const std::string bytes, backend_->ReadWhole(name, kMaxPackIndexBytes));
    ASSIGN_OR_RETURN(const PackIndex index, DecodePackIndex(bytes, *pack));
    return layers_.Note(PackName(*pack), VerifyPack(*backend_, index));
  }

  absl::Status CheckImage(const std::string& name) {
    ASSIGN_OR_RETURN(const std::string bytes, backend_->ReadWhole(name, kMaxImageEntryBytes));
    ASSIGN_OR_RETURN(const ImageEntry image, DecodeImageEntry(bytes));
    if (name != ImageName(image.name, image.platform)) {
      return DataLoss("it is the entry of another image, " + image.name);
    }
    if (chains_.contains(image.chain_id)) return absl::OkStatus();
    return DataLoss("the manifest of " + image.name + ", " + image.chain_id.ToString() +
                    ", is not in the store");
  }

  const std::shared_ptr<Backend> backend_;
  LayerVerifier layers_;
  std::set<Digest> chains_;
};

}  // namespace

absl::StatusOr<VerifyReport> VerifyChain(const std::shared_ptr<ReadBackend>& backend,
                                         const Digest& chain_id) {
  LayerVerifier verifier(backend);
  const absl::Status status = verifier.CheckChain(chain_id);
  if (absl::IsNotFound(status)) return status;
  RETURN_IF_ERROR(verifier.Note(ManifestName(chain_id), status));
  return std::move(verifier.report());
}

absl::StatusOr<VerifyReport> VerifyStore(const std::shared_ptr<Backend>& backend) {
  return StoreVerifier(backend).Run();
}

}  // namespace slacker
