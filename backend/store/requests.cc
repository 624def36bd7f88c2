#include "backend/store/requests.h"

#include <utility>

#include "backend/base/codec.h"
#include "backend/base/image_reference.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr std::string_view kPrefix = "requests/";
constexpr std::string_view kFailedSuffix = ".failed";
constexpr std::string_view kClaimSuffix = ".claim";
constexpr std::string_view kRequestMagic = "SLKQ";
constexpr std::string_view kFailureMagic = "SLKF";
constexpr std::string_view kClaimMagic = "SLKC";
constexpr uint32_t kRequestVersion = 1;
constexpr uint32_t kVersionWithNamespace = 2;  // of requests
constexpr size_t kMaxReferenceBytes = 1024;
constexpr size_t kMaxPlatformBytes = 64;   // each part
constexpr size_t kMaxNamespaceBytes = 76;  // as containerd has it
constexpr size_t kMaxReasonBytes = 1024;
constexpr size_t kMaxClaimantBytes = 255;

absl::Status Check(const PublishRequest& request) {
  if (request.reference.size() > kMaxReferenceBytes) {
    return InvalidArgument("the reference is longer than 1024 bytes");
  }
  ASSIGN_OR_RETURN(const ImageReference parsed, ParseImageReference(request.reference));
  if (parsed.ToString() != request.reference) {
    return InvalidArgument(request.reference + " is not in its full form");
  }
  for (const std::string* part :
       {&request.platform.os, &request.platform.architecture, &request.platform.variant}) {
    if (part->size() > kMaxPlatformBytes) return InvalidArgument("the platform is too long");
  }
  if (request.name_space.size() > kMaxNamespaceBytes) {
    return InvalidArgument("the namespace is longer than 76 bytes");
  }
  return absl::OkStatus();
}

// Reads magic and version, and returns the version.
absl::StatusOr<uint32_t> ReadHead(std::string_view magic, uint32_t newest, Decoder* in) {
  if (in->Raw(magic.size()) != magic) return DataLoss("not a " + std::string(magic) + " object");
  const uint32_t version = in->U32();
  if (version == 0 || version > newest || !in->ok()) {
    return DataLoss("unknown version " + std::to_string(version));
  }
  return version;
}

}  // namespace

absl::StatusOr<std::string> EncodeRequest(const PublishRequest& request) {
  RETURN_IF_ERROR(Check(request));
  std::string encoded(kRequestMagic);
  Encoder out(&encoded);
  out.U32(request.name_space.empty() ? kRequestVersion : kVersionWithNamespace);
  out.Hash(request.chain_id);
  out.Bytes(request.platform.os);
  out.Bytes(request.platform.architecture);
  out.Bytes(request.platform.variant);
  out.Bytes(request.reference);
  if (!request.name_space.empty()) out.Bytes(request.name_space);
  return encoded;
}

absl::StatusOr<PublishRequest> DecodeRequest(std::string_view bytes, std::string_view name) {
  if (bytes.size() > kMaxRequestBytes) return DataLoss("larger than a request may be");
  if (RequestName(bytes) != name) return DataLoss("the request is not what its name says");
  Decoder in(bytes);
  ASSIGN_OR_RETURN(const uint32_t version, ReadHead(kRequestMagic, kVersionWithNamespace, &in));
  PublishRequest request;
  request.chain_id = in.Hash();
  request.platform.os = in.Bytes();
  request.platform.architecture = in.Bytes();
  request.platform.variant = in.Bytes();
  request.reference = in.Bytes();
  if (version == kVersionWithNamespace) request.name_space = in.Bytes();
  if (!in.done()) return DataLoss("damaged request");
  // The bytes must be those that the content has: a request has one name only.
  const absl::StatusOr<std::string> again = EncodeRequest(request);
  if (!again.ok()) return DataLoss(Message(again.status()));
  if (*again != bytes) return DataLoss("damaged request");
  return request;
}

std::string RequestName(std::string_view encoded) {
  return std::string(kPrefix) + Sha256::Of(encoded).ToHex();
}

std::string EncodeRequestFailure(const RequestFailure& failure) {
  std::string encoded(kFailureMagic);
  Encoder out(&encoded);
  out.U32(kRequestVersion);
  out.U32(failure.attempts);
  out.U8(failure.given_up ? 1 : 0);
  out.I64(failure.until_unix_seconds);
  out.Bytes(std::string_view(failure.reason).substr(0, kMaxReasonBytes));
  return encoded;
}

absl::StatusOr<RequestFailure> DecodeRequestFailure(std::string_view bytes) {
  if (bytes.size() > kMaxRequestBytes) return DataLoss("larger than a failure may be");
  Decoder in(bytes);
  RETURN_IF_ERROR(ReadHead(kFailureMagic, kRequestVersion, &in).status());
  RequestFailure failure;
  failure.attempts = in.U32();
  failure.given_up = in.U8() != 0;
  failure.until_unix_seconds = in.I64();
  failure.reason = in.Bytes();
  if (!in.done()) return DataLoss("damaged failure");
  return failure;
}

std::string RequestFailureName(std::string_view request_name) {
  return std::string(request_name) + std::string(kFailedSuffix);
}

std::string EncodeRequestClaim(const RequestClaim& claim) {
  std::string encoded(kClaimMagic);
  Encoder out(&encoded);
  out.U32(kRequestVersion);
  out.I64(claim.until_unix_seconds);
  out.Bytes(std::string_view(claim.claimant).substr(0, kMaxClaimantBytes));
  return encoded;
}

absl::StatusOr<RequestClaim> DecodeRequestClaim(std::string_view bytes) {
  if (bytes.size() > kMaxRequestBytes) return DataLoss("larger than a claim may be");
  Decoder in(bytes);
  RETURN_IF_ERROR(ReadHead(kClaimMagic, kRequestVersion, &in).status());
  RequestClaim claim;
  claim.until_unix_seconds = in.I64();
  claim.claimant = in.Bytes();
  if (!in.done()) return DataLoss("damaged claim");
  return claim;
}

std::string RequestClaimName(std::string_view request_name) {
  return std::string(request_name) + std::string(kClaimSuffix);
}

absl::Status WriteRequest(Backend& backend, const PublishRequest& request) {
  ASSIGN_OR_RETURN(const std::string encoded, EncodeRequest(request));
  const std::string name = RequestName(encoded);
  const absl::Status there = backend.Stat(name).status();
  if (!absl::IsNotFound(there)) return there;
  ASSIGN_OR_RETURN(const std::vector<std::string> names, backend.List(kPrefix));
  if (names.size() >= kMaxRequests) return ResourceExhausted("the store is full of requests");
  return backend.Put(name, encoded);
}

absl::StatusOr<std::vector<StoredRequest>> ListRequests(Backend& backend) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, backend.List(kPrefix));
  std::vector<StoredRequest> requests;
  for (const std::string& name : names) {
    if (name.ends_with(kFailedSuffix) || name.ends_with(kClaimSuffix)) continue;
    if (requests.size() == kMaxRequests) break;
    absl::StatusOr<std::string> bytes = backend.ReadWhole(name, kMaxRequestBytes);
    if (absl::IsNotFound(bytes.status())) continue;
    if (absl::IsUnavailable(bytes.status()) || absl::IsDeadlineExceeded(bytes.status())) {
      return bytes.status();
    }
    if (absl::IsResourceExhausted(bytes.status())) {
      bytes = DataLoss("larger than a request may be");
    }
    StoredRequest& stored = requests.emplace_back(StoredRequest{
        name, bytes.ok() ? DecodeRequest(*bytes, name) : bytes.status(), std::nullopt});
    bytes = backend.ReadWhole(RequestFailureName(name), kMaxRequestBytes);
    if (!bytes.ok()) continue;
    if (auto failure = DecodeRequestFailure(*bytes); failure.ok()) {
      stored.failure = *std::move(failure);
    }
  }
  return requests;
}

}  // namespace slacker
