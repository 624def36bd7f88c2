// How threads stand back for others, on Linux, where both priorities are a thread's own and are
// inherited by the threads and processes that it starts. Thread-safe.
//
// Where the system refuses, or the disk's scheduler knows no priorities, a thread only competes
// harder: nothing fails.
#pragma once

namespace slacker {

inline constexpr int kLowestNiceness = 19;

// Of any thread of this process, by its ID (gettid(2)). 0 is the ordinary niceness.
void SetNiceness(int thread_id, int niceness);

// The disk serves the calling thread only when nobody else asks (ioprio_set(2), the class "idle").
void TakeIdleIo();

}  // namespace slacker
