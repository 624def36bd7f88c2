#include "snapshotter/care/cache_space.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "backend/base/status.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

struct SpaceCase {
  const char* name;
  CacheSpace::Limits limits;
  CacheUsage usage;
  uint64_t excess_bytes;
  bool disk_is_full;
  uint64_t room;
};

class CacheSpaceTest : public ::testing::TestWithParam<SpaceCase> {};

TEST_P(CacheSpaceTest, SaysWhatIsTooMuchAndWhatMayCome) {
  const CacheSpace space(GetParam().limits, [] { return GetParam().usage; });
  ASSERT_OK_AND_ASSIGN(const CacheSpace::Pressure pressure, space.Look());
  EXPECT_EQ(pressure.excess_bytes, GetParam().excess_bytes);
  EXPECT_EQ(pressure.disk_is_full, GetParam().disk_is_full);
  EXPECT_EQ(space.Room(), GetParam().room);
}

// Of 1,600 bytes eviction leaves 1,500, and completion ends there; 5 % of 100,000 are 5,000, and
// 5,312 with what is gained beside.
constexpr CacheSpace::Limits kMax{.max_bytes = 1600, .min_free_percent = 0};
constexpr CacheSpace::Limits kFree{.max_bytes = 0, .min_free_percent = 5};
constexpr CacheSpace::Limits kBoth{.max_bytes = 1600, .min_free_percent = 5};
INSTANTIATE_TEST_SUITE_P(
    Cases, CacheSpaceTest,
    ::testing::Values(
        SpaceCase{"NoLimit", {}, {9000, 40, 100'000}, 0, false, 40},
        SpaceCase{"BelowMax", kMax, {1400, 50'000, 100'000}, 0, false, 100},
        SpaceCase{"BetweenKeptAndMax", kMax, {1600, 50'000, 100'000}, 0, false, 0},
        SpaceCase{"BeyondMax", kMax, {1601, 50'000, 100'000}, 101, false, 0},
        SpaceCase{"MuchIsFree", kFree, {0, 6312, 100'000}, 0, false, 1000},
        SpaceCase{"LittleIsFree", kFree, {0, 5000, 100'000}, 0, false, 0},
        SpaceCase{"TooLittleIsFree", kFree, {0, 4999, 100'000}, 313, true, 0},
        SpaceCase{"TheLargerExcessCounts", kBoth, {1700, 5312, 100'000}, 200, false, 0},
        SpaceCase{"TheLargerLackCounts", kBoth, {1601, 0, 100'000}, 5312, true, 0},
        SpaceCase{"TheSmallerRoomCounts", kBoth, {1000, 5400, 100'000}, 0, false, 88}),
    [](const auto& param_info) { return param_info.param.name; });

TEST(CacheSpaceErrorTest, WhatCannotBeMeasuredHasNoRoom) {
  const CacheSpace space({}, [] { return absl::StatusOr<CacheUsage>(Internal("no such disk")); });
  EXPECT_EQ(space.Room(), 0U);
  EXPECT_THAT(space.Look(), testing::StatusIs(absl::StatusCode::kInternal));
}

TEST(CacheSpaceErrorTest, HolesOfADirectoryDoNotCount) {
  const testing::TempDir dir;
  std::ofstream(dir / "16.data") << std::string(1 << 20, 'x');
  std::ofstream(dir / "17.data") << "";
  ASSERT_EQ(truncate((dir / "17.data").c_str(), 1 << 30), 0);
  ASSERT_OK_AND_ASSIGN(const CacheUsage usage, CacheSpace::MeasureDirectory(dir.path(), true));
  EXPECT_GE(usage.cache_bytes, 1U << 20);
  EXPECT_LT(usage.cache_bytes, 2U << 20);
  EXPECT_GT(usage.free_bytes, 0U);
  EXPECT_GT(usage.disk_bytes, usage.free_bytes);
  ASSERT_OK_AND_ASSIGN(const CacheUsage disk, CacheSpace::MeasureDirectory(dir.path(), false));
  EXPECT_EQ(disk.cache_bytes, 0U);
  EXPECT_FALSE(CacheSpace::MeasureDirectory(dir / "missing", true).ok());
}

}  // namespace
}  // namespace slacker
