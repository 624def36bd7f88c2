// SHA-256 digests: OCI diff IDs and chain IDs, chunk names, record names.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace slacker {

struct Digest {
  std::array<uint8_t, 32> bytes{};

  // "sha256:" and 64 lower-case hex digits, the form of the OCI image spec.
  std::string ToString() const;
  // The 64 hex digits alone: file and object names.
  std::string ToHex() const;
  // INVALID_ARGUMENT unless `text` is exactly the form of ToString (other algorithms, upper case:
  // refused).
  static absl::StatusOr<Digest> Parse(std::string_view text);
  static absl::StatusOr<Digest> FromHex(std::string_view hex);

  auto operator<=>(const Digest&) const = default;
};

// Incremental SHA-256 (OpenSSL). Thread-compatible.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void Update(std::span<const uint8_t> data);
  void Update(std::string_view data);
  // The digest of all updates so far; the object starts afresh.
  Digest Finish();
  static Digest Of(std::span<const uint8_t> data);
  static Digest Of(std::string_view data);

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// OCI image spec, "Layer ChainID": ChainID(L0) = DiffID(L0); ChainID(L0|…|Ln) =
// SHA-256(ChainID(L0|…|Ln-1) + " " + DiffID(Ln)).
Digest ChainId(std::span<const Digest> diff_ids);

}  // namespace slacker

template <>
struct std::hash<slacker::Digest> {
  size_t operator()(const slacker::Digest& digest) const noexcept {
    size_t value;  // already uniformly distributed
    std::memcpy(&value, digest.bytes.data(), sizeof value);
    return value;
  }
};
