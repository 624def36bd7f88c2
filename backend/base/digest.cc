#include "backend/base/digest.h"

#include <openssl/evp.h>

#include "backend/base/check.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr char kHexDigits[] = "0123456789abcdef";

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string Digest::ToHex() const {
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const uint8_t byte : bytes) {
    hex += kHexDigits[byte >> 4];
    hex += kHexDigits[byte & 15];
  }
  return hex;
}

std::string Digest::ToString() const { return std::string(kPrefix) + ToHex(); }

absl::StatusOr<Digest> Digest::FromHex(std::string_view hex) {
  Digest digest;
  if (hex.size() != 2 * digest.bytes.size()) return InvalidArgument("digest: not 64 hex digits");
  for (size_t i = 0; i < digest.bytes.size(); ++i) {
    const int high = HexValue(hex[2 * i]);
    const int low = HexValue(hex[2 * i + 1]);
    if (high < 0 || low < 0) return InvalidArgument("digest: not lower-case hex");
    digest.bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return digest;
}

absl::StatusOr<Digest> Digest::Parse(std::string_view text) {
  if (text.substr(0, kPrefix.size()) != kPrefix) {
    return InvalidArgument("digest: does not begin with sha256:");
  }
  return FromHex(text.substr(kPrefix.size()));
}

struct Sha256::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  Context() { Start(); }
  ~Context() { EVP_MD_CTX_free(evp); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  void Start() const {
    SLACKER_CHECK(evp != nullptr && EVP_DigestInit_ex(evp, EVP_sha256(), nullptr) == 1,
                  "OpenSSL offers SHA-256");
  }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(std::span<const uint8_t> data) {
  SLACKER_CHECK(EVP_DigestUpdate(context_->evp, data.data(), data.size()) == 1, "hashing memory");
}

void Sha256::Update(std::string_view data) {
  Update({reinterpret_cast<const uint8_t*>(data.data()), data.size()});
}

Digest Sha256::Finish() {
  Digest digest;
  SLACKER_CHECK(EVP_DigestFinal_ex(context_->evp, digest.bytes.data(), nullptr) == 1,
                "hashing memory");
  context_->Start();
  return digest;
}

Digest Sha256::Of(std::span<const uint8_t> data) {
  Digest digest;
  SLACKER_CHECK(EVP_Digest(data.data(), data.size(), digest.bytes.data(), nullptr, EVP_sha256(),
                           nullptr) == 1,
                "hashing memory");
  return digest;
}

Digest Sha256::Of(std::string_view data) {
  return Of(std::span(reinterpret_cast<const uint8_t*>(data.data()), data.size()));
}

Digest ChainId(std::span<const Digest> diff_ids) {
  SLACKER_CHECK(!diff_ids.empty(), "an empty stack of layers has no chain ID");
  Digest chain = diff_ids[0];
  for (const Digest& diff_id : diff_ids.subspan(1)) {
    chain = Sha256::Of(chain.ToString() + " " + diff_id.ToString());
  }
  return chain;
}

}  // namespace slacker
