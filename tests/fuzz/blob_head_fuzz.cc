// Heads of blobs (heads/<record>/<blob>), and what export tries for them: nothing of a head is signed.
#include <cstdint>
#include <string>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/digest.h"
#include "backend/export/recompressor.h"
#include "backend/memory/memory_backend.h"
#include "backend/store/blob_head.h"
#include "backend/store/names.h"

namespace {

void Recompress(const std::string& head) {
  // The head is said to be all of the blob, so that a small one can come out.
  const slacker::OriginalBlob original{slacker::Sha256::Of(head), head.size(), head};
  const std::string tar(3000, 'x');
  slacker::Recompressor recompressor(original, tar.size());
  if (!recompressor.Append(tar).ok()) return;
  const auto result = std::move(recompressor).Finish();
  if (!result.ok() || !result->has_value()) return;
  SLACKER_CHECK((*result)->original == ((*result)->digest == original.digest),
                "the original is what has its digest");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const slacker::Digest record = slacker::Sha256::Of("record");
  const slacker::Digest blob = slacker::Sha256::Of("blob");
  const std::string name = slacker::HeadName(record, blob);
  slacker::MemoryBackend store;
  // As it is, then with the checksum that anybody can make.
  SLACKER_CHECK(store.Replace(name, bytes).ok(), "memory");
  (void)slacker::ReadBlobHead(store, name);
  SLACKER_CHECK(store.Remove(name).ok(), "memory");
  SLACKER_CHECK(slacker::WriteBlobHead(store, record, blob, bytes).ok(), "memory");
  const auto head = slacker::ReadBlobHead(store, name);
  SLACKER_CHECK(head.ok() == (bytes.size() <= slacker::kHeadBytes), "a head has a limit");
  if (head.ok()) Recompress(*head);
  return 0;
}
