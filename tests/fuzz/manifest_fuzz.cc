// Manifests, grants and image entries: the input as an object, and as the body of a sound envelope.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/check.h"
#include "backend/base/codec.h"
#include "backend/store/manifest_codec.h"
#include "store.pb.h"

namespace {

void Decode(const std::string& bytes, const slacker::Digest& chain_id) {
  if (const auto manifest = slacker::DecodeManifest(bytes, chain_id, nullptr); manifest.ok()) {
    SLACKER_CHECK(slacker::EncodeManifest(*manifest, nullptr) == bytes, "one encoding only");
  }
  if (const auto grant = slacker::DecodeUnprovedGrant(bytes);
      grant.ok() && !grant->key_id.has_value()) {
    SLACKER_CHECK(slacker::EncodeGrant(grant->grant, nullptr) == bytes, "one encoding only");
  }
  if (const auto image = slacker::DecodeImageEntry(bytes); image.ok()) {
    SLACKER_CHECK(slacker::EncodeImageEntry(*image) == bytes, "one encoding only");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  slacker::Digest chain_id;
  slacker::store::v1::ManifestBody body;
  if (body.ParseFromString(input)) chain_id = slacker::Decoder(body.chain_id()).Hash();
  Decode(input, chain_id);
  slacker::store::v1::Envelope envelope;
  envelope.set_version(1);
  envelope.set_body(input);
  envelope.set_body_sha256(std::string(slacker::AsText(slacker::Sha256::Of(input).bytes)));
  Decode(envelope.SerializeAsString(), chain_id);
  return 0;
}
