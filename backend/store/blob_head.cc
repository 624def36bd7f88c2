#include "backend/store/blob_head.h"

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

constexpr size_t kHeadSumBytes = sizeof(Digest::bytes);

}  // namespace

absl::Status WriteBlobHead(Backend& backend, const Digest& record, const Digest& blob,
                           std::string_view head) {
  std::string object;
  Encoder out(&object);
  out.Raw(head);
  out.Hash(Sha256::Of(head));
  return backend.Put(HeadName(record, blob), object);
}

absl::StatusOr<std::string> ReadBlobHead(ReadBackend& backend, const std::string& name) {
  auto object = backend.ReadWhole(name, kHeadBytes + kHeadSumBytes);
  if (absl::IsResourceExhausted(object.status())) return DataLoss(Message(object.status()));
  RETURN_IF_ERROR(object.status());
  if (object->size() < kHeadSumBytes) return DataLoss(name + ": truncated");
  std::string head = object->substr(0, object->size() - kHeadSumBytes);
  if (Sha256::Of(head) != Decoder(std::string_view(*object).substr(head.size())).Hash()) {
    return DataLoss(name + ": damaged");
  }
  return head;
}

}  // namespace slacker
