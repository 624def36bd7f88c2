// The attach helper: a process beside slackerd that does what may block in slackerd's own FUSE
// (program slackerd-attach). It holds no /dev/fuse, so it can wait there without harm.
//
// The helper itself has one thread and never blocks: it forks a child for each request. It ends,
// and its children with it, when slackerd's end of the socket closes, that is, when slackerd is
// gone, or when a successor shuts the switch down. A child that the kernel holds (in an open() that
// nobody answers) ends later; until then it has the lock file, and the children of the next helper
// wait for that, so that two generations never work on one mount point.
#pragma once

#include <string>

namespace slacker::attach {

// The descriptors that the program is started with.
inline constexpr int kHelperSocket = 3;
inline constexpr int kHelperSwitch = 4;

// Serves requests of `socket` until it or `end_switch` closes; returns the exit status of the
// process. REQUIRES: a process with one thread, that nobody else uses.
int RunHelper(int socket, int end_switch, const std::string& lock_path);

}  // namespace slacker::attach
