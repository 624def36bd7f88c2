// SLACKER_CHECK(condition, "why it must hold"): ends the process on a broken invariant. Never for
// input or environment.
#pragma once

#include <cstdio>
#include <cstdlib>

#define SLACKER_CHECK(condition, why)                                                              \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      (void)std::fprintf(stderr, "%s:%d: check failed: %s (%s)\n", __FILE__, __LINE__, #condition, \
                         why);                                                                     \
      std::abort();                                                                                \
    }                                                                                              \
  } while (false)
