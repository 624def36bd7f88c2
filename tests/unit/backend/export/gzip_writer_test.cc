#include "backend/export/gzip_writer.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"

namespace slacker {
namespace {

std::string Content(const Spool& spool) {
  std::string content;
  EXPECT_OK(spool.ReadAll([&content](std::string_view bytes) {
    content += bytes;
    return absl::OkStatus();
  }));
  return content;
}

// In pieces, so that their size does not matter.
GzipWriter::Result Write(std::string_view bytes, const std::optional<Digest>& wanted) {
  auto writer = GzipWriter::Open();
  EXPECT_OK(writer);
  for (size_t at = 0; at < bytes.size(); at += 70'001) {
    EXPECT_OK((*writer)->Append(bytes.substr(at, 70'001)));
  }
  auto result = std::move(**writer).Finish(wanted);
  EXPECT_OK(result);
  return *std::move(result);
}

TEST(GzipWriterTest, WhatZlibMadeComesOutAsItWas) {
  std::string text;
  for (uint64_t i = 0; i < 100'000; ++i) text += std::to_string(i * i);
  for (const std::string& plain : {text, testing::RandomBytes(500'000, 1), std::string()}) {
    std::string original = testing::Gzip(plain);
    for (const uint8_t system : std::array<uint8_t, 3>{0, 3, 255}) {
      original[9] = static_cast<char>(system);
      const GzipWriter::Result result = Write(plain, Sha256::Of(original));
      EXPECT_TRUE(result.as_wanted);
      EXPECT_EQ(result.digest, Sha256::Of(original));
      EXPECT_TRUE(Content(result.content) == original);
    }
  }
}

TEST(GzipWriterTest, WhatOthersMadeIsNotClaimedToBeTheSame) {
  const GzipWriter::Result result = Write("text", Sha256::Of("another program's gzip"));
  EXPECT_FALSE(result.as_wanted);
  EXPECT_EQ(result.digest, Sha256::Of(Content(result.content)));
  EXPECT_EQ(Write("text", std::nullopt).digest, result.digest);
}

}  // namespace
}  // namespace slacker
