// What programs compressed comes out again as it was: the programs themselves say what that is.
#include "backend/export/recompressor.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>

#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::ReadFileOrDie;
using testing::WriteFileOrDie;

constexpr size_t kHeadBytes = 1024;  // as much as the store keeps

// Text with repetitions, some zeros, and something that cannot be compressed: what is in a tar.
std::string Content(size_t size) {
  std::string content;
  for (uint64_t i = 1; content.size() < size; ++i) {
    content += "entry " + std::to_string(i * i * 2654435761U % 100'003) + "\n";
    if (i % 5000 == 0) content += testing::RandomBytes(60'000, i) + std::string(30'000, '\0');
  }
  content.resize(size);
  return content;
}

std::string Read(const Spool& spool) {
  std::string content;
  EXPECT_OK(spool.ReadAll([&content](std::string_view bytes) {
    content += bytes;
    return absl::OkStatus();
  }));
  return content;
}

OriginalBlob Original(const std::string& blob) {
  return {Sha256::Of(blob), blob.size(), blob.substr(0, kHeadBytes)};
}

std::optional<Recompressor::Result> Recompress(const std::string& plain,
                                               std::optional<OriginalBlob> original) {
  Recompressor recompressor(std::move(original), plain.size());
  for (size_t at = 0; at < plain.size(); at += 70'001) {  // the size of the pieces does not matter
    EXPECT_OK(recompressor.Append(std::string_view(plain).substr(at, 70'001)));
  }
  auto result = std::move(recompressor).Finish();
  EXPECT_OK(result);
  return *std::move(result);
}

void ExpectSame(const std::string& plain, const std::string& blob) {
  const auto result = Recompress(plain, Original(blob));
  ASSERT_TRUE(result.has_value());
  EXPECT_TRUE(result->original);
  EXPECT_EQ(result->digest, Sha256::Of(blob));
  EXPECT_TRUE(Read(result->content) == blob);
}

// New bytes, of the digest that it says.
void ExpectAnew(const std::string& plain, const OriginalBlob& original) {
  const auto result = Recompress(plain, original);
  ASSERT_TRUE(result.has_value());
  EXPECT_FALSE(result->original);
  EXPECT_NE(result->digest, original.digest);
  EXPECT_EQ(result->digest, Sha256::Of(Read(result->content)));
}

// A shell command from the file "in" to the file "out".
class ProgramTest : public ::testing::TestWithParam<const char*> {
 protected:
  std::string Run(const std::string& plain) {
    WriteFileOrDie(dir_ / "in", plain);
    const std::string command = "cd '" + dir_.path() + "' && " + GetParam();
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    return ReadFileOrDie(dir_ / "out");
  }
  const testing::TempDir dir_;
};

TEST_P(ProgramTest, WhatItMadeComesOutAgain) {
  // Less than the beginning that is tried out, exactly that, and more, of zstd's more than one job.
  const size_t much = std::string_view(GetParam()).starts_with("zstd") ? 9'000'000 : 2'500'000;
  for (const size_t size : {size_t{5'000}, size_t{1} << 20, much}) {
    SCOPED_TRACE(size);
    const std::string plain = Content(size);
    ExpectSame(plain, Run(plain));
  }
}

INSTANTIATE_TEST_SUITE_P(Gzip, ProgramTest,
                         ::testing::Values("gzip -n < in > out", "gzip -n -9 < in > out",
                                           "gzip -n -1 < in > out", "gzip -n -4 < in > out",
                                           "gzip -k in && mv in.gz out"));  // with name and time
INSTANTIATE_TEST_SUITE_P(Pigz, ProgramTest,
                         ::testing::Values("pigz -p1 -n -m < in > out", "pigz -p1 -9 < in > out",
                                           "pigz -p1 -1 -k in && mv in.gz out"));
INSTANTIATE_TEST_SUITE_P(Zstd, ProgramTest,
                         ::testing::Values("zstd -q -f -o out in", "zstd -q -f < in > out",
                                           "zstd -q -f -1 --no-check -o out in",
                                           "zstd -q -f -9 --single-thread -o out in",
                                           "zstd -q -f -12 -T2 -o out in",

                                           "zstd -q -f -5 --long=27 < in > out"));
INSTANTIATE_TEST_SUITE_P(
    Python, ProgramTest,
    ::testing::Values("python3 -c 'import gzip; open(\"out\", \"wb\").write(gzip.compress(open("
                      "\"in\", \"rb\").read(), mtime=0))'",
                      "python3 -c 'import gzip; gzip.GzipFile(\"in\", \"wb\", 6, open(\"out\", "
                      "\"wb\"), 1).write(open(\"in\", \"rb\").read())'"));

// zlib, as no program with a header of its own uses it.
std::string Deflate(const std::string& plain, int level, int memory, int system) {
  std::string out(compressBound(plain.size()) + 64, '\0');
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, level, Z_DEFLATED, 31, memory, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  EXPECT_EQ(deflateEnd(&stream), Z_OK);
  out[9] = static_cast<char>(system);
  return out;
}

TEST(RecompressorTest, EveryLevelOfZlibComesOutAgainWhateverTheSystem) {
  const std::string plain = Content(2'000'000);
  constexpr int kSystems[] = {0, 3, 255};
  for (int level = 1; level <= 9; ++level) {
    SCOPED_TRACE(level);
    ExpectSame(plain, Deflate(plain, level, 8, kSystems[level % 3]));
  }
}

TEST(RecompressorTest, WhatAnotherProgramMadeIsMadeAnew) {
  const std::string plain = Content(2'000'000);
  // With other tables than anybody's, so that the blocks end elsewhere.
  ExpectAnew(plain, Original(Deflate(plain, 6, 5, 255)));
}

// By compress/gzip of Go 1.26 at the level that docker uses.
TEST(RecompressorTest, WhatGoMadeIsMadeAnew) {
  constexpr std::string_view kHex =
      "1f8b08000000000000ff6cd23d0ac2501484d1de55bc2578eff8bb9c14090801c1cedd0b76e1bcf6ab0ec36caf"
      "7d1de7f1dec632f6e5bb7e4eff5294a68472a15c2937ca9df2a03c154ed0aa4b76e92ee1a5bca497f6125fea5b"
      "7d4f3657dfea5b7dab6ff5adbed5b7faa88ffa4c2ea33eeaa33eeaa33eea73d0ff020000ffff93a59dcfee0200"
      "00";
  std::string go, text;
  for (size_t i = 0; i < kHex.size(); i += 2) {
    go += static_cast<char>(std::stoi(std::string(kHex.substr(i, 2)), nullptr, 16));
  }
  for (int i = 0; i < 40; ++i) text += "file " + std::to_string(i) + " of a layer\n";
  ExpectAnew(text, Original(go));
}

TEST(RecompressorTest, WithoutABeginningOnlyTheUsualIsFound) {
  const std::string plain = Content(2'000'000);
  OriginalBlob original = Original(Deflate(plain, 6, 8, 3));
  original.head.clear();
  EXPECT_TRUE(Recompress(plain, original)->original);
  original = Original(Deflate(plain, 9, 8, 3));
  original.head.clear();
  ExpectAnew(plain, original);
  EXPECT_FALSE(Recompress(plain, std::nullopt)->original);
}

TEST(RecompressorTest, ABeginningWithoutTheRestIsNotTheOriginal) {
  const std::string plain = Content(2'000'000);
  OriginalBlob original = Original(Deflate(plain, 6, 8, 255));
  original.digest = Sha256::Of("another tar that begins like this one");
  EXPECT_FALSE(Recompress(plain, original).has_value());
  original.size_bytes /= 2;  // longer ones are not even made
  EXPECT_FALSE(Recompress(plain, original).has_value());
  // One that is short was made anew at once.
  original = Original(Deflate("short", 6, 8, 255));
  original.digest = Sha256::Of("another");
  ExpectAnew("short", original);
}

TEST(RecompressorTest, ABeginningThatIsNoHeaderIsNoMistake) {
  const std::string gzip = Deflate("x", 6, 8, 255);
  const std::string zstd = testing::Zstd("x");
  for (const std::string& blob :
       {gzip, zstd, std::string("\x1f\x8b\x08\xff", 4), std::string("garbage")}) {
    for (size_t size = 0; size <= blob.size(); ++size) {
      OriginalBlob original = {Sha256::Of("another"), blob.size(), blob.substr(0, size)};
      ExpectAnew("plain", original);
    }
  }
}

TEST(RecompressorTest, WithoutTheProgramGzipTheOthersAreTried) {
  const std::string plain = Content(2'000'000);
  const std::string path = std::getenv("PATH");
  ASSERT_EQ(setenv("PATH", "/nowhere", 1), 0);
  ExpectSame(plain, Deflate(plain, 9, 8, 3));
  ASSERT_EQ(setenv("PATH", path.c_str(), 1), 0);
}

TEST(RecompressorTest, NoRoomForTemporaryFilesIsAnError) {
  const std::string plain = Content(2'000'000);
  ASSERT_EQ(setenv("TMPDIR", "/nowhere", 1), 0);
  Recompressor recompressor(Original(Deflate(plain, 9, 8, 255)), plain.size());
  EXPECT_FALSE(recompressor.Append(plain).ok());
  ASSERT_EQ(unsetenv("TMPDIR"), 0);
}

}  // namespace
}  // namespace slacker
