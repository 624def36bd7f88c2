#include "backend/store/object_stream.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "tests/support/fake_backend.h"
#include "tests/support/faulty_backend.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

using testing::FakeBackend;
using testing::FaultyBackend;
using testing::StatusIs;

constexpr char kName[] = "records/x";

std::string Content(size_t size) {
  std::string content(size, '\0');
  for (size_t i = 0; i < size; ++i) content[i] = static_cast<char>(i * 2654435761U >> 24);
  return content;
}

// Everything, in pieces of `step` bytes.
absl::StatusOr<std::string> ReadAll(ObjectStream& stream, uint64_t step) {
  std::string all;
  for (;;) {
    const absl::StatusOr<std::string_view> next = stream.Next(step);
    if (!next.ok()) return next.status();
    all += *next;
    if (next->size() < step) return all;
  }
}

TEST(ObjectStreamTest, SmallObjectTakesOneRead) {
  FakeBackend backend;
  for (const size_t size : {size_t{0}, size_t{1}, size_t{ObjectStream::kFirstBytes - 1}}) {
    ASSERT_OK(backend.Replace(kName, Content(size)));
    backend.ResetCounts();
    std::string copy;
    ObjectStream stream(&backend, kName, &copy);
    ASSERT_OK_AND_ASSIGN(const std::string all, ReadAll(stream, 1000));
    EXPECT_EQ(all, Content(size));
    EXPECT_EQ(copy, all);
    ASSERT_OK_AND_ASSIGN(const std::string_view behind, stream.Next(1));
    EXPECT_EQ(behind, "");
    EXPECT_EQ(backend.counts().reads, 1U) << size;
  }
}

TEST(ObjectStreamTest, AnyLengthIsReadToItsEnd) {
  FakeBackend backend;
  constexpr uint64_t kFirst = ObjectStream::kFirstBytes;
  constexpr uint64_t kStep = ObjectStream::kStepBytes;
  for (const uint64_t whole : {kFirst, kFirst + kStep, kFirst + 7 * kStep}) {
    for (const uint64_t size : {whole - 1, whole, whole + 1}) {
      ASSERT_OK(backend.Replace(kName, Content(size)));
      ObjectStream stream(&backend, kName, nullptr);
      ASSERT_OK_AND_ASSIGN(const std::string all, ReadAll(stream, 100'003));
      EXPECT_TRUE(all == Content(size)) << size;
    }
  }
}

TEST(ObjectStreamTest, SeveralReadsOfALongObjectAreUnderWay) {
  FakeBackend backend;
  ASSERT_OK(backend.Replace(kName, Content(20 << 20)));
  backend.HoldReads();
  std::string all;
  std::thread reader([&] {
    ObjectStream stream(&backend, kName, nullptr);
    all = ReadAll(stream, 65'536).value();
  });
  backend.WaitForHeldReads(1);
  backend.ReleaseOneRead();
  backend.WaitForHeldReads(ObjectStream::kAhead);
  backend.ReleaseReads();
  reader.join();
  EXPECT_TRUE(all == Content(20 << 20));
}

TEST(ObjectStreamTest, FailureOfAnyReadIsReturned) {
  const auto fake = std::make_shared<FakeBackend>();
  ASSERT_OK(fake->Replace(kName, Content(3 << 20)));
  for (uint64_t call = 1; call <= 3; ++call) {
    FaultyBackend faulty(fake);
    faulty.FailFrom(call, absl::UnavailableError("away"));
    ObjectStream stream(&faulty, kName, nullptr);
    EXPECT_THAT(ReadAll(stream, 65'536), StatusIs(absl::StatusCode::kUnavailable, "away"));
  }
  ObjectStream missing(fake.get(), "records/none", nullptr);
  EXPECT_THAT(missing.Next(4), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace slacker
