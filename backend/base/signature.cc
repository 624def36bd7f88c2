#include "backend/base/signature.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>

#include "backend/base/check.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

constexpr size_t kMaxPemBytes = 64 * 1024;

const uint8_t* AsBytes(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

// OpenSSL's own asks the terminal.
int NoPassphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) { return -1; }

absl::StatusOr<Bio> Reader(std::string_view pem) {
  if (pem.size() > kMaxPemBytes) return InvalidArgument("larger than a key");
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  SLACKER_CHECK(bio != nullptr, "memory for a key");
  return bio;
}

std::string Content(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

std::string ForPurpose(std::string_view purpose, std::string_view message) {
  std::string whole(purpose);
  whole += '\0';
  whole += message;
  return whole;
}

std::array<uint8_t, 32> PublicBytes(const EVP_PKEY* key) {
  std::array<uint8_t, 32> raw{};
  size_t size = raw.size();
  SLACKER_CHECK(EVP_PKEY_get_raw_public_key(key, raw.data(), &size) == 1 && size == raw.size(),
                "an Ed25519 key has 32 bytes");
  return raw;
}

Key PrivateFrom(const std::array<uint8_t, 32>& seed) {
  Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  SLACKER_CHECK(key != nullptr, "memory for a key");
  return key;
}

Key PublicFrom(const std::array<uint8_t, 32>& raw) {
  Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw.data(), raw.size()));
  SLACKER_CHECK(key != nullptr, "memory for a key");
  return key;
}

}  // namespace

absl::StatusOr<PublicKey> PublicKey::FromPem(std::string_view pem) {
  ASSIGN_OR_RETURN(const Bio bio, Reader(pem));
  const Key key(PEM_read_bio_PUBKEY(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr || EVP_PKEY_id(key.get()) != EVP_PKEY_ED25519) {
    return InvalidArgument("not an Ed25519 public key in PEM form");
  }
  PublicKey made;
  made.raw_ = PublicBytes(key.get());
  return made;
}

std::string PublicKey::ToPem() const {
  const Key key = PublicFrom(raw_);
  const Bio bio(BIO_new(BIO_s_mem()));
  SLACKER_CHECK(bio != nullptr && PEM_write_bio_PUBKEY(bio.get(), key.get()) == 1,
                "memory for a key");
  return Content(bio.get());
}

bool PublicKey::Verifies(std::string_view signature, std::string_view purpose,
                         std::string_view message) const {
  if (signature.size() != kSignatureBytes) return false;
  const Key key = PublicFrom(raw_);
  const Context context(EVP_MD_CTX_new());
  const std::string whole = ForPurpose(purpose, message);
  return context != nullptr &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), AsBytes(signature), signature.size(), AsBytes(whole),
                          whole.size()) == 1;
}

SigningKey SigningKey::Generate() {
  const Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  SLACKER_CHECK(key != nullptr, "the random number generator works");
  SigningKey made;
  size_t size = made.seed_.size();
  SLACKER_CHECK(EVP_PKEY_get_raw_private_key(key.get(), made.seed_.data(), &size) == 1,
                "an Ed25519 key has 32 bytes");
  made.public_key_.raw_ = PublicBytes(key.get());
  return made;
}

absl::StatusOr<SigningKey> SigningKey::FromPem(std::string_view pem) {
  ASSIGN_OR_RETURN(const Bio bio, Reader(pem));
  const Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr || EVP_PKEY_id(key.get()) != EVP_PKEY_ED25519) {
    return InvalidArgument("not an Ed25519 private key in PEM form without a passphrase");
  }
  SigningKey made;
  size_t size = made.seed_.size();
  if (EVP_PKEY_get_raw_private_key(key.get(), made.seed_.data(), &size) != 1 ||
      size != made.seed_.size()) {
    return InvalidArgument("not an Ed25519 private key");
  }
  made.public_key_.raw_ = PublicBytes(key.get());
  return made;
}

SigningKey::~SigningKey() { OPENSSL_cleanse(seed_.data(), seed_.size()); }

std::string SigningKey::ToPem() const {
  const Key key = PrivateFrom(seed_);
  const Bio bio(BIO_new(BIO_s_secmem()));
  SLACKER_CHECK(bio != nullptr && PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr,
                                                           0, nullptr, nullptr) == 1,
                "memory for a key");
  return Content(bio.get());
}

std::string SigningKey::Sign(std::string_view purpose, std::string_view message) const {
  const Key key = PrivateFrom(seed_);
  const Context context(EVP_MD_CTX_new());
  const std::string whole = ForPurpose(purpose, message);
  std::string signature(kSignatureBytes, '\0');
  size_t size = signature.size();
  SLACKER_CHECK(context != nullptr &&
                    EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
                    EVP_DigestSign(context.get(), reinterpret_cast<uint8_t*>(signature.data()),
                                   &size, AsBytes(whole), whole.size()) == 1 &&
                    size == signature.size(),
                "signing needs nothing but memory");
  return signature;
}

}  // namespace slacker
