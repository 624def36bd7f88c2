// Failpoints: named places at which a test ends this process with SIGKILL, to see what a crash
// leaves behind. Compiled in with SLACKER_FAILPOINTS only (presets dev, asan, tsan, fuzz); nothing
// of them is in a release build.
//
//   SLACKER_FAILPOINT=NAME[:N]    dies at the N-th (default: first) passage of NAME
//   SLACKER_FAILPOINT_TRACE=FILE  appends every name passed to FILE, one a line: how a test finds
//                                 out what there is
//   SLACKER_WITHOUT=NAME[,NAME]   a kernel that has NAME counts as one that lacks it: how a test
//                                 comes to the ways of older kernels. Asked at every passage
//
// Names read "area.step" ("prepare.before_commit").
#pragma once

namespace slacker {
void PassFailpoint(const char* name);  // thread-safe
bool IsTakenAway(const char* name);
}  // namespace slacker

#ifdef SLACKER_FAILPOINTS
#define SLACKER_FAILPOINT(name) ::slacker::PassFailpoint(name)
#define SLACKER_WITHOUT(name) ::slacker::IsTakenAway(name)
#else
#define SLACKER_FAILPOINT(name) static_cast<void>(0)
#define SLACKER_WITHOUT(name) false
#endif
