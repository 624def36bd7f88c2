// Tests that try something at every place: every call, every byte, every cut.
#pragma once

#include <cstdint>

namespace slacker::testing {

// How far apart the places lie that are tried. Under the sanitizers each costs many times as much: a
// wrong outcome shows in the ordinary build, which tries all of them, and a wrong access at any of
// those that are left.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr uint64_t kPlaceStep = 7;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr uint64_t kPlaceStep = 7;
#else
inline constexpr uint64_t kPlaceStep = 1;
#endif
#else
inline constexpr uint64_t kPlaceStep = 1;
#endif

// Their memory says nothing: what was freed stays for a while.
inline constexpr bool kUnderSanitizers = kPlaceStep != 1;

}  // namespace slacker::testing
