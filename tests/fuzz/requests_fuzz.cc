// Requests, their failures and claims: what anybody may write into a store.
#include <cstdint>
#include <string>

#include "backend/base/check.h"
#include "backend/base/image_reference.h"
#include "backend/store/requests.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  if (const auto request = slacker::DecodeRequest(bytes, slacker::RequestName(bytes));
      request.ok()) {
    SLACKER_CHECK(*slacker::EncodeRequest(*request) == bytes, "one encoding only");
    const auto reference = slacker::ParseImageReference(request->reference);
    SLACKER_CHECK(reference.ok() && reference->ToString() == request->reference, "its full form");
  }
  if (const auto failure = slacker::DecodeRequestFailure(bytes); failure.ok()) {
    const auto again = slacker::DecodeRequestFailure(slacker::EncodeRequestFailure(*failure));
    SLACKER_CHECK(again.ok() && again->attempts == failure->attempts, "it comes back");
  }
  if (const auto claim = slacker::DecodeRequestClaim(bytes); claim.ok()) {
    const auto again = slacker::DecodeRequestClaim(slacker::EncodeRequestClaim(*claim));
    SLACKER_CHECK(again.ok() && again->until_unix_seconds == claim->until_unix_seconds,
                  "it comes back");
  }
  return 0;
}
