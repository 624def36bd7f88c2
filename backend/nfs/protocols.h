// The versions of NFS that we speak. One thread: the loop's.
#pragma once

#include <memory>

#include "backend/base/thread_pool.h"
#include "backend/nfs/channel.h"
#include "backend/nfs/event_loop.h"
#include "backend/nfs/protocol.h"
#include "backend/nfs/target.h"

namespace slacker::nfs {

// Version 3 (RFC 1813), with its mount protocol and, where no port is given for that, the portmapper.
std::unique_ptr<Protocol> NewV3Protocol(EventLoop* loop, ThreadPool* resolver,
                                        const NfsTarget& target, const Patience& patience);

// Version 4.0 (RFC 7530), by compounds of our own.
//
// Nothing is read or written with state of ours on the server: READ and WRITE carry the anonymous
// state ID, so no lease needs to be renewed, and none can expire. Only making a file needs an OPEN,
// and so a client ID (v4_create.h). libnfs 4.0 encodes a compound into 4 KiB, so that little can be
// written at a time.
std::unique_ptr<Protocol> NewV4Protocol(EventLoop* loop, ThreadPool* resolver,
                                        const NfsTarget& target, const Patience& patience);

}  // namespace slacker::nfs
