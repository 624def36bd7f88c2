#include "backend/source/decompress.h"

#include <gtest/gtest.h>

#include "backend/base/status.h"
#include "backend/source/verifying_source.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/source/bytes_source.h"

namespace slacker {
namespace {

using testing::BytesSource;
using testing::Gzip;
using testing::RandomBytes;
using testing::StatusIs;
using testing::Zstd;

constexpr uint64_t kLimit = 1 << 30;

absl::StatusOr<std::string> Unpack(std::string packed, size_t piece = 1000,
                                   uint64_t limit = kLimit) {
  auto source = Decompress(std::make_unique<BytesSource>(std::move(packed), piece), limit);
  return ReadAll(*source, kLimit);
}

std::string Content() { return RandomBytes(700'000, 1) + std::string(700'000, 'x'); }

TEST(DecompressTest, EveryFormIsRecognisedInPiecesOfAnySize) {
  const std::string content = Content();
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{4096}, size_t{10'000'000}}) {
    EXPECT_EQ(*Unpack(content, piece), content) << piece;
    EXPECT_EQ(*Unpack(Gzip(content), piece), content) << piece;
    EXPECT_EQ(*Unpack(Zstd(content), piece), content) << piece;
  }
}

TEST(DecompressTest, MembersAndFramesFollowEachOther) {
  const std::string content = Content();
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{1000}, size_t{10'000'000}}) {
    EXPECT_EQ(*Unpack(Gzip("a") + Gzip("") + Gzip(content) + Gzip("b"), piece),
              "a" + content + "b");
    EXPECT_EQ(*Unpack(Zstd("a") + Zstd("") + Zstd(content), piece), "a" + content);
  }
  const std::string skippable("\x50\x2a\x4d\x18\x03\x00\x00\x00xyz", 11);
  EXPECT_EQ(*Unpack(skippable + Zstd(content)), content);
}

// A frame of two raw blocks, whose header asks for a window of 2^`log` bytes.
std::string FrameOfWindow(int log) {
  std::string frame("\x28\xb5\x2f\xfd\x00", 5);
  frame += static_cast<char>((log - 10) << 3);
  return frame + std::string(
                     "\x18\x00\x00"
                     "one\x19\x00\x00"
                     "two",
                     12);
}

// As containerd does (klauspost/compress): layers of "zstd --ultra --long=29" are unpacked, larger windows
// are not.
TEST(DecompressTest, AWindowOf512MiBIsUnpackedAndALargerOneIsRefusedByName) {
  for (const int log : {10, 23, 24, 27, 28, 29}) {
    EXPECT_EQ(*Unpack(FrameOfWindow(log)), "onetwo") << log;
    EXPECT_EQ(*Unpack(FrameOfWindow(29) + FrameOfWindow(log), 1), "onetwoonetwo") << log;
  }
  for (const int log : {30, 31, 40}) {
    EXPECT_THAT(Unpack(FrameOfWindow(log)),
                StatusIs(absl::StatusCode::kInvalidArgument, "larger than 512 MiB"));
  }
}

// As pigz, estargz and old tools write them: extra field, name, comment, checksum of the header.
TEST(DecompressTest, EveryFieldOfAGzipHeaderIsPassedOver) {
  const std::string plain = Gzip("content");
  const std::string tail = plain.substr(10);
  const auto with = [&](char flags, const std::string& fields) {
    std::string head = plain.substr(0, 10);
    head[3] = flags;
    return head + fields + tail;
  };
  const std::string extra("\x04\x00SG\x00\x00", 6);
  const std::string text("name\0", 5);
  const std::string checksum("\x00\x01", 2);
  const std::string no_extra("\x00\x00", 2);
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{3}, size_t{5}, size_t{1000}}) {
    SCOPED_TRACE(piece);
    EXPECT_EQ(*Unpack(with(0, ""), piece), "content");
    EXPECT_EQ(*Unpack(with(1, ""), piece), "content");  // "probably text"
    EXPECT_EQ(*Unpack(with(2, checksum), piece), "content");
    EXPECT_EQ(*Unpack(with(4, extra), piece), "content");
    EXPECT_EQ(*Unpack(with(4, no_extra), piece), "content");
    EXPECT_EQ(*Unpack(with(8, text), piece), "content");
    EXPECT_EQ(*Unpack(with(16, text), piece), "content");
    EXPECT_EQ(*Unpack(with(30, extra + text + text + checksum), piece), "content");
    EXPECT_EQ(*Unpack(with(8, text) + with(4, extra), piece), "contentcontent");
  }
}

TEST(DecompressTest, AGzipHeaderThatNobodyKnowsIsRefused) {
  std::string gzip = Gzip("content");
  gzip[2] = 7;  // method
  EXPECT_THAT(Unpack(gzip), StatusIs(absl::StatusCode::kInvalidArgument, "unknown method"));
  gzip[2] = 8;
  gzip[3] = 32;  // reserved
  EXPECT_THAT(Unpack(gzip), StatusIs(absl::StatusCode::kInvalidArgument, "unknown method"));
}

TEST(DecompressTest, NothingUnpacksToNothing) {
  EXPECT_EQ(*Unpack(""), "");
  EXPECT_EQ(*Unpack(Gzip("")), "");
  EXPECT_EQ(*Unpack(Zstd("")), "");
}

TEST(DecompressTest, TruncationAtEveryByteIsRefused) {
  const std::string content = RandomBytes(300, 2);
  for (const std::string& packed : {Gzip(content), Zstd(content)}) {
    for (size_t size = 4; size < packed.size(); ++size) {
      EXPECT_THAT(Unpack(packed.substr(0, size)), StatusIs(absl::StatusCode::kInvalidArgument))
          << size;
    }
  }
}

TEST(DecompressTest, DamageAndGarbageBehindTheEndAreRefused) {
  std::string gzip = Gzip(Content());
  EXPECT_THAT(Unpack(gzip + "garbage"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Unpack(Zstd(Content()) + "garbage"), StatusIs(absl::StatusCode::kInvalidArgument));
  gzip[gzip.size() - 6] = static_cast<char>(gzip[gzip.size() - 6] ^ 1);  // its CRC
  EXPECT_THAT(Unpack(gzip), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(DecompressTest, ABombStopsAtTheLimit) {
  const std::string zeros(8 << 20, '\0');
  for (const std::string& packed : {Gzip(zeros), Zstd(zeros), zeros}) {
    EXPECT_THAT(Unpack(packed, 1000, 1 << 20), StatusIs(absl::StatusCode::kResourceExhausted));
  }
}

TEST(DecompressTest, AnErrorAtTheEndOfTheInputIsNotLost) {
  for (const std::string& packed : {Gzip("abc"), Zstd("abc"), std::string("abc")}) {
    auto source =
        Decompress(std::make_unique<BytesSource>(packed, 1000, DataLoss("digest")), kLimit);
    EXPECT_THAT(ReadAll(*source, kLimit), StatusIs(absl::StatusCode::kDataLoss));
  }
}

}  // namespace
}  // namespace slacker
