// The steps by which the schema of slacker.db became what it is. Step v takes version v to v + 1. A
// step is never changed once released: steps are only appended.
#pragma once

#include <span>

namespace slacker {

struct Migration {
  const char* sql = nullptr;
  // Programs of the version before may still use the database: they do not see what is new, and what
  // they write (defaults in new columns, nothing in new tables) means "not known" to newer ones.
  bool compatible = false;
};

std::span<const Migration> Migrations();

}  // namespace slacker
