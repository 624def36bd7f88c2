#include "backend/nfs/server_status.h"

#include <cerrno>

namespace slacker::nfs {
namespace {

struct Meaning {
  uint32_t status;
  int error;
};

constexpr Meaning kMeanings[] = {
    {0, 0},
    {1, EPERM},
    {2, ENOENT},
    {5, EIO},
    {6, ENXIO},
    {13, EACCES},
    {17, EEXIST},
    {18, EXDEV},
    {20, ENOTDIR},
    {21, EISDIR},
    {22, EINVAL},
    {27, EFBIG},
    {28, ENOSPC},
    {30, EROFS},
    {31, EMLINK},
    {63, ENAMETOOLONG},
    {66, ENOTEMPTY},
    {69, EDQUOT},
    {70, ESTALE},
    {10001, ESTALE},       // BADHANDLE
    {10003, EBADF},        // BAD_COOKIE
    {10004, EOPNOTSUPP},   // NOTSUPP
    {10008, EAGAIN},       // JUKEBOX, DELAY
    {10011, EKEYEXPIRED},  // EXPIRED
    {10013, EAGAIN},       // GRACE
    {10014, ESTALE},       // FHEXPIRED
    {10016, EACCES},       // WRONGSEC
    {10017, EKEYEXPIRED},  // CLID_INUSE
    {10018, EAGAIN},       // RESOURCE
    {10019, ESTALE},       // MOVED
    {10022, EKEYEXPIRED},  // STALE_CLIENTID
    {10023, EKEYEXPIRED},  // STALE_STATEID
    {10024, EKEYEXPIRED},  // OLD_STATEID
    {10025, EKEYEXPIRED},  // BAD_STATEID
    {10026, EKEYEXPIRED},  // BAD_SEQID
    {10029, ENOTDIR},      // SYMLINK
    {10044, EOPNOTSUPP},   // OP_ILLEGAL
};

}  // namespace

int ErrnoOfServerStatus(uint32_t status) {
  for (const Meaning& meaning : kMeanings) {
    if (meaning.status == status) return meaning.error;
  }
  return EREMOTEIO;
}

}  // namespace slacker::nfs
