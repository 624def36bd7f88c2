#include "backend/base/thread_priority.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace slacker {
namespace {

// As in linux/ioprio.h, which is not for C++ everywhere: that of Linux 6.1.192 calls a parameter "class".
constexpr int kOfProcess = 1;        // IOPRIO_WHO_PROCESS: or of a thread
constexpr int kIdleClass = 3 << 13;  // IOPRIO_CLASS_IDLE, above what says more within a class

}  // namespace

void SetNiceness(int thread_id, int niceness) {
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(thread_id), niceness);
}

void TakeIdleIo() { (void)syscall(SYS_ioprio_set, kOfProcess, 0, kIdleClass); }

}  // namespace slacker
