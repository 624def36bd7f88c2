// Bytes as a layer tar: what is accepted makes a valid layer, and comes back byte for byte.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "backend/base/check.h"
#include "backend/record/layer.h"
#include "tests/support/read_layer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view tar(reinterpret_cast<const char*>(data), size);
  slacker::TarLimits limits;
  limits.max_entries = 10'000;
  limits.max_metadata_bytes = 8 << 20;
  const absl::StatusOr<slacker::testing::ReadLayer> read =
      slacker::testing::Read(tar, slacker::kMinChunkSize, limits, 1000);
  if (!read.ok()) return 0;
  const absl::Status valid = slacker::ValidateLayer(read->layer);
  if (!valid.ok()) std::fprintf(stderr, "%s\n", valid.ToString().c_str());
  SLACKER_CHECK(valid.ok(), "an accepted tar makes a valid layer");
  std::string rebuilt;
  const absl::StatusOr<slacker::Digest> digest = slacker::testing::Rebuild(*read, &rebuilt);
  SLACKER_CHECK(digest.ok() && *digest == read->layer.diff_id, "the digest is the tar's");
  SLACKER_CHECK(rebuilt == tar, "the tar comes back");
  return 0;
}
