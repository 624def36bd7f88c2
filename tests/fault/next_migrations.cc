// The schema of versions to come: linked in place of snapshotter/metastore/migrations.cc, whose steps
// come first. SLACKER_TEST_NEXT_STEPS=1: one more, compatible; 2: and one that is not.
#define Migrations MigrationsOfToday
#include "snapshotter/metastore/migrations.cc"
#undef Migrations

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace slacker {

std::span<const Migration> Migrations() {
  static const std::vector<Migration> all = [] {
    const std::span<const Migration> today = MigrationsOfToday();
    std::vector<Migration> steps(today.begin(), today.end());
    const char* const more = std::getenv("SLACKER_TEST_NEXT_STEPS");
    const int count = more == nullptr ? 1 : std::atoi(more);
    if (count >= 1) {
      steps.push_back(
          {"ALTER TABLE snapshots ADD COLUMN heat INTEGER NOT NULL DEFAULT 0;"
           "CREATE TABLE news (id INTEGER PRIMARY KEY);",
           true});
    }
    if (count >= 2) steps.push_back({"CREATE TABLE change (id INTEGER PRIMARY KEY);", false});
    return steps;
  }();
  return all;
}

}  // namespace slacker
