#include "backend/view/provenance.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "backend/base/status.h"
#include "backend/store/names.h"

namespace slacker {

absl::StatusOr<std::vector<Digest>> ListSigners(Backend& backend, const Digest& chain_id) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names,
                   backend.List(std::string(kManifestsPrefix) + chain_id.ToHex() + "/"));
  std::vector<Digest> keys;
  for (const std::string& name : names) {
    const absl::StatusOr<ParsedManifestName> parsed = ParseManifestName(name);
    if (parsed.ok() && parsed->key_id.has_value()) keys.push_back(*parsed->key_id);
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

absl::StatusOr<std::vector<UnprovedGrant>> ListGrants(Backend& backend, const Digest& chain_id) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names,
                   backend.List(std::string(kGrantsPrefix) + chain_id.ToHex() + "/"));
  std::vector<UnprovedGrant> grants;
  for (const std::string& name : names) {
    absl::StatusOr<std::string> bytes = backend.ReadWhole(name, kMaxGrantBytes);
    if (absl::IsNotFound(bytes.status())) continue;  // taken back meanwhile
    if (absl::IsResourceExhausted(bytes.status())) return DataLoss(Message(bytes.status()));
    RETURN_IF_ERROR(bytes.status());
    ASSIGN_OR_RETURN(UnprovedGrant grant, DecodeUnprovedGrant(*bytes));
    if (GrantName(grant.grant, grant.key_id) != name) {
      return DataLoss(name + " is the grant of another name");
    }
    grants.push_back(std::move(grant));
  }
  std::sort(grants.begin(), grants.end(), [](const UnprovedGrant& a, const UnprovedGrant& b) {
    return std::tie(a.grant.repository, a.key_id) < std::tie(b.grant.repository, b.key_id);
  });
  return grants;
}

}  // namespace slacker
