// Requests: nodes that had to pull an image the ordinary way ask for it to be published. Objects of
// the store, docs/formats.md, "Requests".
//
//   requests/<SHA-256 of the request>          what is wanted: equal requests are one object,
//                                              however many nodes write it
//   requests/<SHA-256 of the request>.failed   what came of it so far, if it did not work
//   requests/<SHA-256 of the request>.claim    who serves it just now
//
// Anybody who may write below requests/ writes them: they prove nothing, and whoever acts on one
// checks all that it says. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/store/store.h"

namespace slacker {

struct PublishRequest {
  std::string reference;  // "registry.example.com/app:1.2", as ImageReference::ToString writes it
  Digest chain_id;        // what the node unpacked
  Platform platform;
  // Of the containerd that has unpacked it, where that is asked for the image; empty elsewhere, so
  // that equal requests of different nodes are one.
  std::string name_space = {};
};

// What became of a request that could not be served.
struct RequestFailure {
  uint32_t attempts = 0;
  bool given_up = false;
  int64_t until_unix_seconds = 0;  // the next try; given up: when it is forgotten
  std::string reason;
};

// Who serves a request, and until when he is believed to without saying so again. Nobody has to
// end a claim: one that is over, or that goes further than kMaxClaimSeconds, counts for nothing.
struct RequestClaim {
  std::string claimant;
  int64_t until_unix_seconds = 0;
};
inline constexpr int64_t kMaxClaimSeconds = 600;

inline constexpr uint64_t kMaxRequestBytes = 2048;
// More than so many are not written by nodes, nor looked at by who serves them.
inline constexpr size_t kMaxRequests = 10'000;

// INVALID_ARGUMENT for a reference that is not in its full form, and for what would be too long.
absl::StatusOr<std::string> EncodeRequest(const PublishRequest& request);
// `name` is the object's: DATA_LOSS unless the bytes are a request of that name.
absl::StatusOr<PublishRequest> DecodeRequest(std::string_view bytes, std::string_view name);
std::string RequestName(std::string_view encoded);  // requests/<hex>

// Longer reasons are cut.
std::string EncodeRequestFailure(const RequestFailure& failure);
absl::StatusOr<RequestFailure> DecodeRequestFailure(std::string_view bytes);
std::string RequestFailureName(std::string_view request_name);

// Longer names of claimants are cut.
std::string EncodeRequestClaim(const RequestClaim& claim);
absl::StatusOr<RequestClaim> DecodeRequestClaim(std::string_view bytes);
std::string RequestClaimName(std::string_view request_name);

// Writes a request unless it is there. RESOURCE_EXHAUSTED when there are kMaxRequests.
absl::Status WriteRequest(Backend& backend, const PublishRequest& request);

// A request as it is in the store.
struct StoredRequest {
  std::string name;
  // DATA_LOSS: it is none. Any other error: it cannot be read, as when it is for another user only.
  absl::StatusOr<PublishRequest> request;
  std::optional<RequestFailure> failure;
};
// At most kMaxRequests. A failure that cannot be read counts as none. Requests that vanish meanwhile
// are left out. Errors: those of the whole store; what one object has is in `request`.
absl::StatusOr<std::vector<StoredRequest>> ListRequests(Backend& backend);

}  // namespace slacker
