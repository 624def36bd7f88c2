#include "backend/base/thread_priority.h"

#include <linux/ioprio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace slacker {

void SetNiceness(int thread_id, int niceness) {
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(thread_id), niceness);
}

void TakeIdleIo() {
  (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
}

}  // namespace slacker
