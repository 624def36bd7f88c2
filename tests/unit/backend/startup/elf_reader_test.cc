#include "backend/startup/elf_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "backend/base/status.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/backend/startup/elf_builder.h"

namespace slacker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::ElfBuilder;
using testing::StatusIs;

absl::StatusOr<ElfInfo> ReadBytes(const std::string& bytes) {
  return ReadElf([&bytes](uint64_t offset, uint64_t size) -> absl::StatusOr<std::string> {
    return offset < bytes.size() ? bytes.substr(offset, size) : std::string();
  });
}

ElfBuilder Sample() {
  return {.interpreter = "/lib/ld.so",
          .needed = {"libb.so.1", "liba.so.2"},
          .rpath = "/old",
          .runpath = "$ORIGIN/../lib:/opt",
          .content_bytes = 500,
          .unmapped_bytes = 300};
}

TEST(ElfReaderTest, EveryClassAndByteOrderIsRead) {
  for (const bool is_64_bit : {false, true}) {
    for (const bool is_little : {false, true}) {
      ElfBuilder builder = Sample();
      builder.is_64_bit = is_64_bit;
      builder.is_little = is_little;
      builder.machine = 0x1234;
      const std::string bytes = builder.Build();
      ASSERT_OK_AND_ASSIGN(const ElfInfo elf, ReadBytes(bytes));
      EXPECT_EQ(elf.is_64_bit, is_64_bit);
      EXPECT_EQ(elf.machine, 0x1234);
      EXPECT_EQ(elf.interpreter, "/lib/ld.so");
      EXPECT_THAT(elf.needed, ElementsAre("libb.so.1", "liba.so.2"));
      EXPECT_EQ(elf.rpath, "/old");
      EXPECT_EQ(elf.runpath, "$ORIGIN/../lib:/opt");
      EXPECT_THAT(elf.loaded, ElementsAre(std::pair<uint64_t, uint64_t>(0, bytes.size() - 300)));
    }
  }
}

TEST(ElfReaderTest, AProgramOfThisMachineIsReadAsItIs) {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  ASSERT_OK_AND_ASSIGN(const ElfInfo elf, ReadBytes(bytes.str()));
  EXPECT_THAT(elf.interpreter, ::testing::StartsWith("/lib"));
  EXPECT_THAT(elf.needed, Contains("libc.so.6"));
  EXPECT_FALSE(elf.loaded.empty());
}

TEST(ElfReaderTest, WhatIsNoElfFileIsInvalid) {
  for (const std::string& bytes : {std::string(), std::string("#!/bin/sh\n"), std::string(100, 'x'),
                                   std::string("\x7f"
                                               "ELF"),
                                   "\x7f"
                                   "ELF" +
                                       std::string(60, '\x7f')}) {
    EXPECT_THAT(ReadBytes(bytes), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(ElfReaderTest, EveryTruncationOfTheHeadersIsInvalid) {
  ElfBuilder builder = Sample();
  builder.content_bytes = builder.unmapped_bytes = 0;
  const std::string bytes = builder.Build();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(ReadBytes(bytes.substr(0, size)), StatusIs(absl::StatusCode::kInvalidArgument))
        << size;
  }
}

TEST(ElfReaderTest, NoDamageDoesMoreThanToFail) {
  const std::string bytes = Sample().Build();
  for (size_t at = 0; at + 500 < bytes.size(); ++at) {
    for (const char value : {'\0', '\x7f', '\xff'}) {
      std::string damaged = bytes;
      damaged[at] = value;
      const auto elf = ReadBytes(damaged);
      if (elf.ok()) continue;
      EXPECT_THAT(elf, StatusIs(absl::StatusCode::kInvalidArgument)) << at;
    }
  }
}

TEST(ElfReaderTest, ErrorsOfReadingAreTold) {
  EXPECT_THAT(ReadElf([](uint64_t, uint64_t) { return Unavailable("down"); }),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace slacker
