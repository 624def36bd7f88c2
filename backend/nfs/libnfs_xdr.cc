// The part of libnfs' XDR that reads lengths (libnfs_guard.h). Encodes as well as decodes: libnfs has
// the same functions do both.
#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "backend/nfs/libnfs.h"
#include "backend/nfs/libnfs_guard.h"

// Of libnfs, but in none of its headers.
// NOLINTNEXTLINE(readability-identifier-naming): the library's name
extern "C" void* zdr_malloc(ZDR* zdr, uint32_t size);

// What a reply was decoded into beside the caller's structure; libnfs knows the name only. The sums
// include the blocks before it.
struct alignas(std::max_align_t) zdr_mem {
  zdr_mem* next;
  uint64_t bytes;
  uint32_t blocks;
};

namespace slacker::nfs {
namespace {

constexpr uint32_t kUnit = 4;       // all that XDR has is a multiple of it
constexpr uint32_t kMaxAuth = 400;  // RFC 5531, 8.2

uint32_t Left(const ZDR& zdr) {
  return zdr.pos >= 0 && zdr.pos < zdr.size ? static_cast<uint32_t>(zdr.size - zdr.pos) : 0;
}

uint32_t Padding(uint32_t size) { return (kUnit - size % kUnit) % kUnit; }

// The next `size` bytes; null when there are not so many. Padding may be missing at the end.
char* Take(ZDR* zdr, uint32_t size) {
  const uint32_t left = Left(*zdr);
  if (size > left) return nullptr;
  char* const bytes = zdr->buf + zdr->pos;
  zdr->pos += static_cast<int>(std::min(left, size + Padding(size)));
  return bytes;
}

bool Put(ZDR* zdr, const char* bytes, uint32_t size) {
  const uint32_t left = Left(*zdr);
  if (size > left || Padding(size) > left - size || (bytes == nullptr && size > 0)) return false;
  char* const to = zdr->buf + zdr->pos;
  if (size > 0) std::memcpy(to, bytes, size);
  std::memset(to + size, 0, Padding(size));
  zdr->pos += static_cast<int>(size + Padding(size));
  return true;
}

// Zeroed memory that lives as long as the decoded reply; null beyond the limits.
void* Allocate(ZDR* zdr, uint64_t size) {
  const uint64_t bytes = size + (zdr->mem == nullptr ? 0 : zdr->mem->bytes);
  const uint32_t blocks = 1 + (zdr->mem == nullptr ? 0 : zdr->mem->blocks);
  if (size > kMaxDecodedBytes || bytes > kMaxDecodedBytes || blocks > kMaxBlocks) return nullptr;
  auto* const block = static_cast<zdr_mem*>(std::calloc(1, sizeof(zdr_mem) + size));
  if (block == nullptr) return nullptr;
  *block = {zdr->mem, bytes, blocks};
  zdr->mem = block;
  return block + 1;
}

// The answer to a call that a server accepted.
bool DecodeAccepted(ZDR* zdr, accepted_reply* reply) {
  uint32_t flavor = 0;
  uint32_t status = 0;
  char* verifier = nullptr;
  uint32_t size = 0;
  if (libnfs_zdr_u_int(zdr, &flavor) == 0 ||
      libnfs_zdr_bytes(zdr, &verifier, &size, kMaxAuth) == 0 ||
      libnfs_zdr_u_int(zdr, &status) == 0 || status > SYSTEM_ERR) {
    return false;
  }
  reply->stat = status;
  if (status != SUCCESS) return true;
  const auto& results = reply->reply_data.results;
  return results.proc(zdr, results.where) != 0;
}

}  // namespace

std::span<const Replaced> ReplacedXdr() {
  static const Replaced replaced[] = {
      {"libnfs_zdr_array", reinterpret_cast<const void*>(&libnfs_zdr_array)},
      {"libnfs_zdr_bytes", reinterpret_cast<const void*>(&libnfs_zdr_bytes)},
      {"libnfs_zdr_destroy", reinterpret_cast<const void*>(&libnfs_zdr_destroy)},
      {"libnfs_zdr_opaque", reinterpret_cast<const void*>(&libnfs_zdr_opaque)},
      {"libnfs_zdr_pointer", reinterpret_cast<const void*>(&libnfs_zdr_pointer)},
      {"libnfs_zdr_replymsg", reinterpret_cast<const void*>(&libnfs_zdr_replymsg)},
      {"libnfs_zdr_string", reinterpret_cast<const void*>(&libnfs_zdr_string)},
      {"zdr_malloc", reinterpret_cast<const void*>(&zdr_malloc)},
  };
  return replaced;
}

}  // namespace slacker::nfs

using slacker::nfs::Allocate;
using slacker::nfs::DecodeAccepted;
using slacker::nfs::kUnit;
using slacker::nfs::Left;
using slacker::nfs::Put;
using slacker::nfs::Take;

void* zdr_malloc(ZDR* zdr, uint32_t size) { return Allocate(zdr, size); }

void libnfs_zdr_destroy(ZDR* zdr) {
  while (zdr->mem != nullptr) std::free(std::exchange(zdr->mem, zdr->mem->next));
}

bool_t libnfs_zdr_opaque(ZDR* zdr, char* bytes, uint32_t size) {
  if (zdr->x_op == ZDR_ENCODE) return Put(zdr, bytes, size);
  const char* const from = Take(zdr, size);
  if (from == nullptr) return FALSE;
  std::memcpy(bytes, from, size);
  return TRUE;
}

// Decoded bytes stay where they are: what is read from a file is copied by who wants it.
bool_t libnfs_zdr_bytes(ZDR* zdr, char** bytes, uint32_t* size, uint32_t max_size) {
  if (libnfs_zdr_u_int(zdr, size) == 0) return FALSE;
  if (zdr->x_op == ZDR_ENCODE) return Put(zdr, *bytes, *size);
  if (*size > max_size) return FALSE;
  *bytes = Take(zdr, *size);
  return *bytes != nullptr;
}

bool_t libnfs_zdr_string(ZDR* zdr, char** text, uint32_t max_size) {
  uint32_t size = 0;
  if (zdr->x_op == ZDR_ENCODE) {
    const size_t length = std::strlen(*text);
    if (length > INT_MAX) return FALSE;
    size = static_cast<uint32_t>(length);
  }
  if (libnfs_zdr_u_int(zdr, &size) == 0) return FALSE;
  if (zdr->x_op == ZDR_ENCODE) return Put(zdr, *text, size);
  const uint32_t left = Left(*zdr);
  char* const from = size > max_size ? nullptr : Take(zdr, size);
  if (from == nullptr) return FALSE;
  // It needs a zero behind it: padding, or the next field's first byte, may be one.
  if (size < left && from[size] == '\0') {
    *text = from;
    return TRUE;
  }
  *text = static_cast<char*>(Allocate(zdr, uint64_t{size} + 1));
  if (*text == nullptr) return FALSE;
  std::memcpy(*text, from, size);
  return TRUE;
}

bool_t libnfs_zdr_array(ZDR* zdr, char** elements, uint32_t* count, uint32_t max_count,
                        uint32_t element_bytes, zdrproc_t element) {
  if (libnfs_zdr_u_int(zdr, count) == 0) return FALSE;
  if (zdr->x_op == ZDR_DECODE) {
    if (*count > max_count || *count > Left(*zdr) / kUnit) return FALSE;
    *elements = static_cast<char*>(Allocate(zdr, uint64_t{*count} * element_bytes));
    if (*elements == nullptr) return FALSE;
  }
  for (size_t i = 0; i < *count; ++i) {
    if (element(zdr, *elements + i * element_bytes) == 0) return FALSE;
  }
  return TRUE;
}

bool_t libnfs_zdr_pointer(ZDR* zdr, char** object, uint32_t size, zdrproc_t decode) {
  bool_t present = *object != nullptr;
  if (libnfs_zdr_u_int(zdr, &present) == 0) return FALSE;
  if (zdr->x_op == ZDR_DECODE) {
    *object = present == 0 ? nullptr : static_cast<char*>(Allocate(zdr, size));
    if (present != 0 && *object == nullptr) return FALSE;
  }
  return present == 0 ? TRUE : decode(zdr, *object);
}

// Never encodes: libnfs answers no calls here.
bool_t libnfs_zdr_replymsg(rpc_context* /*rpc*/, ZDR* zdr, rpc_msg* message) {
  if (zdr->x_op != ZDR_DECODE) return FALSE;
  // Nothing of a call is decoded over what `message` says of the results: where they go, and by
  // which function.
  if (libnfs_zdr_u_int(zdr, &message->xid) == 0 ||
      libnfs_zdr_u_int(zdr, &message->direction) == 0 || message->direction != REPLY ||
      libnfs_zdr_u_int(zdr, &message->body.rbody.stat) == 0) {
    return FALSE;
  }
  if (message->body.rbody.stat == MSG_ACCEPTED) {
    return DecodeAccepted(zdr, &message->body.rbody.reply.areply);
  }
  return message->body.rbody.stat == MSG_DENIED;
}
