#include "snapshotter/fuse/fuse_handler.h"

#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <utility>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"

namespace slacker::fuse {
namespace {

// Names and attributes never change, so the kernel may keep them for ever (136 years).
constexpr uint64_t kForever = UINT32_MAX;
// Node 1 is the root, so a blob's node is its ID + 1.
uint64_t NodeOf(uint64_t blob_id) { return blob_id + 1; }
uint64_t BlobOf(uint64_t node_id) { return node_id - 1; }

template <typename T>
bool Parse(std::string_view body, T* value) {
  if (body.size() < sizeof *value) return false;
  std::memcpy(value, body.data(), sizeof *value);
  return true;
}

template <typename T>
std::string_view BytesOf(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

fuse_attr FileAttributes(uint64_t blob_id, uint64_t size_bytes) {
  fuse_attr attr{};
  attr.ino = NodeOf(blob_id);
  attr.mode = S_IFREG | 0400;
  attr.nlink = 1;
  attr.size = size_bytes;
  attr.blksize = 4096;
  attr.blocks = size_bytes / 512;
  return attr;
}

fuse_attr RootAttributes() {
  fuse_attr attr{};
  attr.ino = FUSE_ROOT_ID;
  attr.mode = S_IFDIR | 0500;
  attr.nlink = 2;
  return attr;
}

int ErrnoFor(const absl::Status& status) {
  return status.code() == absl::StatusCode::kNotFound ? ENOENT : EIO;
}

}  // namespace

void Handler::Handle(std::string_view request, const std::shared_ptr<void>& owner) {
  fuse_in_header header;
  if (!Parse(request, &header)) return;
  const std::string_view body = request.substr(sizeof header);
  ++requests_;
  if ((header.unique & kUniqueResend) != 0) ++resent_;
  switch (header.opcode) {
    case FUSE_INIT:
      return Init(header, body);
    case FUSE_LOOKUP:
      return Lookup(header, body);
    case FUSE_GETATTR:
      return GetAttr(header);
    case FUSE_OPEN:
      return Open(header);
    case FUSE_READ:
      return Read(header, body, owner);
    case FUSE_STATFS:
      return StatFs(header.unique);
    case FUSE_RELEASE:
      SLACKER_FAILPOINT("fuse.release");
      return Reply(header.unique, {});
    case FUSE_FLUSH:
    case FUSE_DESTROY:
      return Reply(header.unique, {});
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
      return;  // has no answer
    default:
      // Also INTERRUPT: after this answer the kernel sends no more of them; reads run to their end.
      return ReplyError(header.unique, ENOSYS);
  }
}

void Handler::Init(const fuse_in_header& header, std::string_view body) {
  SLACKER_FAILPOINT("fuse.init");
  // Older kernels send a shorter structure; the first fields are what every version has.
  fuse_init_in in{};
  if (body.size() < offsetof(fuse_init_in, flags2)) return ReplyError(header.unique, EPROTO);
  std::memcpy(&in, body.data(), std::min(body.size(), sizeof in));
  kernel_resends_ = ((uint64_t{in.flags2} << 32) & kHasResend) != 0;
  fuse_init_out out{};
  out.major = FUSE_KERNEL_VERSION;
  out.minor = std::min(in.minor, kMinorVersion);
  out.max_readahead = in.max_readahead;
  out.max_background = kMaxBackground;
  out.congestion_threshold = kCongestionThreshold;
  out.max_write = kMaxWrite;
  out.max_pages = kMaxPages;
  out.time_gran = 1;
  const uint64_t flags =
      uint64_t{FUSE_ASYNC_READ} | FUSE_ASYNC_DIO | FUSE_MAX_PAGES | FUSE_INIT_EXT | kHasResend;
  out.flags = static_cast<uint32_t>(flags);
  out.flags2 = static_cast<uint32_t>(flags >> 32);
  Reply(header.unique, BytesOf(out));
}

void Handler::Lookup(const fuse_in_header& header, std::string_view body) {
  SLACKER_FAILPOINT("fuse.lookup");
  const std::string_view name = body.substr(0, body.find('\0'));
  uint64_t blob_id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), blob_id);
  // Only the canonical form, so that a blob has one name.
  if (header.nodeid != FUSE_ROOT_ID || error != std::errc() || blob_id == 0 ||
      blob_id == UINT64_MAX || std::to_string(blob_id) != name) {
    return ReplyError(header.unique, ENOENT);
  }
  const absl::StatusOr<uint64_t> size = SizeOf(blob_id);
  if (!size.ok()) return ReplyError(header.unique, ErrnoFor(size.status()));
  fuse_entry_out out{};
  out.nodeid = NodeOf(blob_id);
  out.entry_valid = kForever;
  out.attr_valid = kForever;
  out.attr = FileAttributes(blob_id, *size);
  Reply(header.unique, BytesOf(out));
}

void Handler::GetAttr(const fuse_in_header& header) {
  SLACKER_FAILPOINT("fuse.getattr");
  fuse_attr_out out{};
  out.attr_valid = kForever;
  if (header.nodeid == FUSE_ROOT_ID) {
    out.attr = RootAttributes();
  } else {
    const absl::StatusOr<uint64_t> size = SizeOf(BlobOf(header.nodeid));
    if (!size.ok()) return ReplyError(header.unique, ErrnoFor(size.status()));
    out.attr = FileAttributes(BlobOf(header.nodeid), *size);
  }
  Reply(header.unique, BytesOf(out));
}

void Handler::Open(const fuse_in_header& header) {
  SLACKER_FAILPOINT("fuse.open");
  fuse_open_out out{};
  out.open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH;
  Reply(header.unique, BytesOf(out));
}

void Handler::Read(const fuse_in_header& header, std::string_view body,
                   const std::shared_ptr<void>& owner) {
  SLACKER_FAILPOINT("fuse.read");
  fuse_read_in in;
  if (!Parse(body, &in)) return ReplyError(header.unique, EIO);
  ++reads_;
  const uint64_t blob_id = BlobOf(header.nodeid);
  const absl::StatusOr<uint64_t> size = SizeOf(blob_id);
  if (!size.ok()) {
    ++errors_;
    return ReplyError(header.unique, EIO);
  }
  if (in.offset >= *size || in.size == 0) return Reply(header.unique, {});
  const auto wanted = static_cast<uint32_t>(std::min<uint64_t>(in.size, *size - in.offset));
  const uint64_t now = ++in_flight_;
  for (uint64_t seen = max_in_flight_; seen < now;) {
    if (max_in_flight_.compare_exchange_weak(seen, now)) break;
  }
  source_->ReadAsync(
      blob_id, in.offset, wanted,
      [this, owner, unique = header.unique, wanted](absl::StatusOr<std::string> data) {
        FinishRead(unique, wanted, std::move(data));
      });
}

void Handler::FinishRead(uint64_t unique, size_t expected, absl::StatusOr<std::string> data) {
  --in_flight_;
  // A short answer could become zeros in somebody's page cache.
  if (data.ok() && data->size() == expected) return Reply(unique, *data);
  if (absl::IsCancelled(data.status())) return;  // stays with the kernel, for the next server
  ++errors_;
  ReplyError(unique, EIO);
}

void Handler::StatFs(uint64_t unique) {
  fuse_statfs_out out{};
  out.st.bsize = 4096;
  out.st.frsize = 4096;
  out.st.namelen = 20;
  Reply(unique, BytesOf(out));
}

absl::StatusOr<uint64_t> Handler::SizeOf(uint64_t blob_id) {
  {
    MutexLock lock(&mutex_);
    if (const auto known = sizes_.find(blob_id); known != sizes_.end()) return known->second;
  }
  ASSIGN_OR_RETURN(const uint64_t size, source_->BlobSize(blob_id));
  MutexLock lock(&mutex_);
  sizes_[blob_id] = size;
  return size;
}

void Handler::Reply(uint64_t unique, std::string_view body) const {
  fuse_out_header header{};
  header.len = static_cast<uint32_t>(sizeof header + body.size());
  header.unique = unique;
  std::array<iovec, 2> parts{
      {{&header, sizeof header}, {const_cast<char*>(body.data()), body.size()}}};
  if (writev(device_, parts.data(), body.empty() ? 1 : 2) >= 0) return;
  // ENOENT: the request is not waiting any more (answered by another, or sent again under its other
  // name). ENODEV: aborted. Neither leaves anything to do; after anything else somebody still
  // waits.
  if (errno != ENOENT && errno != ENODEV) ReplyError(unique, EIO);
}

void Handler::ReplyError(uint64_t unique, int error) const {
  fuse_out_header header{};
  header.len = sizeof header;
  header.error = -error;
  header.unique = unique;
  (void)!write(device_, &header, sizeof header);  // as in Reply
}

FuseCounters Handler::counters() const {
  return {requests_, reads_, resent_, errors_, max_in_flight_, kernel_resends_};
}

}  // namespace slacker::fuse
