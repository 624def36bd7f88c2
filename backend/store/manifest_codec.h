// Manifests, grants and image entries as bytes: protobuf (proto/store.proto) in an envelope,
// manifests and grants signed or not. Bytes: docs/formats.md, "Envelopes". Equal values (and keys)
// have equal bytes, and decoding accepts no other bytes than those. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/base/signature.h"
#include "backend/store/store.h"

namespace slacker {

inline constexpr uint64_t kMaxManifestBytes = 1 << 20;
inline constexpr uint64_t kMaxImageEntryBytes = 16 << 20;
inline constexpr size_t kMaxLayers = 4096;

// Signed with `key`, unsigned if it is null. REQUIRES: 1 to kMaxLayers layers, whose chain ID is
// manifest.chain_id.
std::string EncodeManifest(const Manifest& manifest, const SigningKey* key);

// `key`: who must have signed it; null: it must be unsigned. DATA_LOSS unless it is a manifest of
// this chain; FAILED_PRECONDITION if that is sound but the signature is not the key's.
absl::StatusOr<Manifest> DecodeManifest(std::string_view bytes, const Digest& chain_id,
                                        const PublicKey* key);
// The same for a key whose public half is not at hand: what it signed is not proved.
absl::StatusOr<Manifest> DecodeManifestOfUnknownKey(std::string_view bytes, const Digest& chain_id,
                                                    const Digest& key_id);

// All prefixes of the chain, the bottom first, itself last.
std::vector<Digest> PrefixChains(const Manifest& manifest);

// The same for grants. DecodeGrant: DATA_LOSS unless it is a grant for this chain and repository.
inline constexpr uint64_t kMaxGrantBytes = 4096;
std::string EncodeGrant(const Grant& grant, const SigningKey* key);
absl::Status DecodeGrant(std::string_view bytes, const Grant& expected, const PublicKey* key);
// Whatever it grants, and whoever signed it: for looking at a store.
struct UnprovedGrant {
  Grant grant;
  std::optional<Digest> key_id;
};
absl::StatusOr<UnprovedGrant> DecodeUnprovedGrant(std::string_view bytes);

std::string EncodeImageEntry(const ImageEntry& image);
// DATA_LOSS unless it is an image entry.
absl::StatusOr<ImageEntry> DecodeImageEntry(std::string_view bytes);

}  // namespace slacker
