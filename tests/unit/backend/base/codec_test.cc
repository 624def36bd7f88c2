#include "backend/base/codec.h"

#include <gtest/gtest.h>

#include <string>

namespace slacker {
namespace {

TEST(CodecTest, DecoderReadsWhatEncoderWrote) {
  std::string bytes;
  Encoder encoder(&bytes);
  encoder.U8(0xff);
  encoder.U16(0x1234);
  encoder.U32(0xdeadbeef);
  encoder.U64(0x0123456789abcdefull);
  encoder.I64(-2);
  encoder.Varint(0);
  encoder.Varint(UINT64_MAX);
  encoder.Bytes("name");
  encoder.Hash(Sha256::Of("abc"));
  EXPECT_EQ(bytes.substr(1, 2), "\x34\x12") << "little-endian";

  Decoder decoder(bytes);
  EXPECT_EQ(decoder.U8(), 0xff);
  EXPECT_EQ(decoder.U16(), 0x1234);
  EXPECT_EQ(decoder.U32(), 0xdeadbeef);
  EXPECT_EQ(decoder.U64(), 0x0123456789abcdefull);
  EXPECT_EQ(decoder.I64(), -2);
  EXPECT_EQ(decoder.Varint(), 0u);
  EXPECT_EQ(decoder.Varint(), UINT64_MAX);
  EXPECT_EQ(decoder.Bytes(), "name");
  EXPECT_EQ(decoder.Hash(), Sha256::Of("abc"));
  EXPECT_TRUE(decoder.done());
}

TEST(CodecTest, EveryTruncationFailsAndStaysFailed) {
  std::string bytes;
  Encoder encoder(&bytes);
  encoder.U32(7);
  encoder.Bytes("name");
  for (size_t size = 0; size < bytes.size(); ++size) {
    Decoder decoder(std::string_view(bytes).substr(0, size));
    (void)decoder.U32();
    (void)decoder.Bytes();
    EXPECT_FALSE(decoder.ok()) << size;
    EXPECT_EQ(decoder.U8(), 0);
    EXPECT_FALSE(decoder.done());
  }
}

TEST(CodecTest, VarintsThatOverflowOrNeverEndFail) {
  for (const std::string& bad : {std::string(11, '\xff'), std::string(9, '\xff') + '\x02'}) {
    Decoder decoder(bad);
    EXPECT_EQ(decoder.Varint(), 0u);
    EXPECT_FALSE(decoder.ok());
  }
}

TEST(CodecTest, ALengthBeyondTheInputFailsInsteadOfAllocating) {
  std::string bytes;
  Encoder(&bytes).Varint(UINT64_MAX);
  Decoder decoder(bytes);
  EXPECT_TRUE(decoder.Bytes().empty());
  EXPECT_FALSE(decoder.ok());
}

}  // namespace
}  // namespace slacker
