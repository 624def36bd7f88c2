// Ed25519 signatures (RFC 8032), and keys as files: PEM, PKCS#8 for private keys and
// SubjectPublicKeyInfo for public ones (RFC 8410), as `openssl genpkey -algorithm ed25519` and
// `openssl pkey -pubout` write them.
//
// A key's ID is the SHA-256 of the 32 bytes of its public key. Every signature is made for one
// purpose ("slacker manifest v1"): what is signed is the purpose, a NUL and the message, so that a
// signature for one kind of object is none for another.
//
// Values; thread-compatible.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"

namespace slacker {

inline constexpr size_t kSignatureBytes = 64;

class PublicKey {
 public:
  // INVALID_ARGUMENT unless it is the PEM of an Ed25519 public key.
  static absl::StatusOr<PublicKey> FromPem(std::string_view pem);
  std::string ToPem() const;

  Digest id() const { return Sha256::Of(raw_); }
  bool Verifies(std::string_view signature, std::string_view purpose,
                std::string_view message) const;

  bool operator==(const PublicKey&) const = default;

 private:
  friend class SigningKey;
  std::array<uint8_t, 32> raw_{};
};

// The private half. Its bytes are wiped when it goes.
class SigningKey {
 public:
  static SigningKey Generate();
  // INVALID_ARGUMENT unless it is the PEM of an Ed25519 private key that no passphrase protects.
  static absl::StatusOr<SigningKey> FromPem(std::string_view pem);
  SigningKey(const SigningKey&) = default;
  SigningKey& operator=(const SigningKey&) = default;
  ~SigningKey();

  std::string ToPem() const;
  const PublicKey& public_key() const { return public_key_; }
  // kSignatureBytes long. Equal messages have equal signatures.
  std::string Sign(std::string_view purpose, std::string_view message) const;

 private:
  SigningKey() = default;
  std::array<uint8_t, 32> seed_{};
  PublicKey public_key_;
};

}  // namespace slacker
