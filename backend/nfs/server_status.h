// Verdicts of NFS servers as errno values.
#pragma once

#include <cstdint>

namespace slacker::nfs {

// Of an nfsstat3, nfsstat4 or mountstat3 (their numbers agree where they mean the same). 0 for
// success, EAGAIN for "ask again later", EKEYEXPIRED when version 4 has forgotten this client,
// EREMOTEIO for what nobody needs to tell apart.
int ErrnoOfServerStatus(uint32_t status);

}  // namespace slacker::nfs
