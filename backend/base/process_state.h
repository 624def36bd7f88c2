// What can be said of other processes. Nothing but libc: the keeper uses it.
#pragma once

#include <sys/types.h>

namespace slacker {

// Whether a process can never run code of its own again: gone, a zombie, exiting, or with a SIGKILL
// pending. What it has open the kernel may keep for long all the same. Thread-safe; does not block.
bool IsBeyondActing(pid_t pid);

}  // namespace slacker
