// poll(2) as a node that is short of memory has it, of libraries as well.
#pragma once

namespace slacker::testing {

// The next `times` calls of threads that are called `thread` fail with `error`. One at a time.
void FailPoll(const char* thread, int error, int times);
// How many of them have not been made yet.
int PollFailuresLeft();

}  // namespace slacker::testing
