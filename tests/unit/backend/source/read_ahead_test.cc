#include "backend/source/read_ahead.h"

#include <gtest/gtest.h>

#include "backend/base/status.h"
#include "backend/source/verifying_source.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/thread_limit.h"
#include "tests/unit/backend/source/bytes_source.h"

namespace slacker {
namespace {

using testing::BytesSource;
using testing::RandomBytes;
using testing::StatusIs;

TEST(ReadAheadTest, BytesArriveInOrderWhateverTheRoom) {
  const std::string content = RandomBytes(100'000, 1);
  for (const uint64_t room : {1U, 5000U, 1'000'000U}) {
    auto source = ReadAhead(std::make_unique<BytesSource>(content, 777), room);
    EXPECT_EQ(*ReadAll(*source, 1 << 20), content);
    EXPECT_EQ(*source->Next(), "");
  }
}

TEST(ReadAheadTest, WithoutThreadsBytesArriveAllTheSame) {
  const std::string content = RandomBytes(100'000, 1);
  const testing::ThreadLimit none(0);
  auto source = ReadAhead(std::make_unique<BytesSource>(content, 777), 5000);
  EXPECT_EQ(*ReadAll(*source, 1 << 20), content);
}

TEST(ReadAheadTest, AnErrorComesAfterTheBytesBeforeIt) {
  auto source = ReadAhead(std::make_unique<BytesSource>("abc", 2, DataLoss("x")), 1000);
  EXPECT_EQ(*source->Next(), "ab");
  EXPECT_EQ(*source->Next(), "c");
  EXPECT_THAT(source->Next(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(source->Next(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(ReadAheadTest, MayBeDroppedHalfRead) {
  auto source = ReadAhead(std::make_unique<BytesSource>(RandomBytes(100'000, 1), 10), 50);
  EXPECT_OK(source->Next());
}

TEST(VerifyStreamTest, WrongSizesAndDigestsAreDataLoss) {
  const Digest digest = Sha256::Of("content");
  auto read = [&digest](const char* bytes, uint64_t size) {
    auto source = VerifyStream(std::make_unique<BytesSource>(bytes, 2), digest, size, "blob");
    return ReadAll(*source, 1000);
  };
  EXPECT_EQ(*read("content", 7), "content");
  EXPECT_THAT(read("contenu", 7), StatusIs(absl::StatusCode::kDataLoss, "digest"));
  EXPECT_THAT(read("content", 8), StatusIs(absl::StatusCode::kDataLoss, "shorter"));
  EXPECT_THAT(read("content", 6), StatusIs(absl::StatusCode::kDataLoss, "longer"));
  EXPECT_THAT(read("", 7), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace slacker
