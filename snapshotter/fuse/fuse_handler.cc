#include "snapshotter/fuse/fuse_handler.h"

#include <sys/stat.h>
#include <unistd.h>

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

// Of all but READ.
constexpr size_t kSmallAnswerBytes = 512;
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

void Handler::Handle(std::string_view bytes, std::optional<size_t> slot,
                     const std::shared_ptr<void>& owner) {
  Request request;
  request.ticket.slot = slot;
  if (!Parse(bytes, &request.header)) return Finish(request.ticket);
  request.body = bytes.substr(sizeof request.header);
  request.ticket.unique = request.header.unique;
  ++requests_;
  if ((request.header.unique & kUniqueResend) != 0) ++resent_;
  switch (request.header.opcode) {
    case FUSE_INIT:
      return Init(request);
    case FUSE_LOOKUP:
      return Lookup(request);
    case FUSE_GETATTR:
      return GetAttr(request);
    case FUSE_OPEN:
      return Open(request);
    case FUSE_READ:
      return Read(request, owner);
    case FUSE_STATFS:
      return StatFs(request.ticket);
    case FUSE_RELEASE:
      SLACKER_FAILPOINT("fuse.release");
      return Reply(request.ticket, {});
    case FUSE_FLUSH:
    case FUSE_DESTROY:
      return Reply(request.ticket, {});
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
      return Finish(request.ticket);  // has no answer
    default:
      // Also INTERRUPT: after this answer the kernel sends no more of them; reads run to their end.
      return ReplyError(request.ticket, ENOSYS);
  }
}

void Handler::Init(const Request& request) {
  SLACKER_FAILPOINT("fuse.init");
  // Older kernels send a shorter structure; the first fields are what every version has.
  fuse_init_in in{};
  if (request.body.size() < offsetof(fuse_init_in, flags2)) {
    return ReplyError(request.ticket, EPROTO);
  }
  std::memcpy(&in, request.body.data(), std::min(request.body.size(), sizeof in));
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
  Reply(request.ticket, BytesOf(out));
}

void Handler::Lookup(const Request& request) {
  SLACKER_FAILPOINT("fuse.lookup");
  const std::string_view name = request.body.substr(0, request.body.find('\0'));
  uint64_t blob_id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), blob_id);
  // Only the canonical form, so that a blob has one name.
  if (request.header.nodeid != FUSE_ROOT_ID || error != std::errc() || blob_id == 0 ||
      blob_id == UINT64_MAX || std::to_string(blob_id) != name) {
    return ReplyError(request.ticket, ENOENT);
  }
  const absl::StatusOr<uint64_t> size = SizeOf(blob_id);
  if (!size.ok()) return ReplyError(request.ticket, ErrnoFor(size.status()));
  fuse_entry_out out{};
  out.nodeid = NodeOf(blob_id);
  out.entry_valid = kForever;
  out.attr_valid = kForever;
  out.attr = FileAttributes(blob_id, *size);
  Reply(request.ticket, BytesOf(out));
}

void Handler::GetAttr(const Request& request) {
  SLACKER_FAILPOINT("fuse.getattr");
  const uint64_t node_id = request.header.nodeid;
  fuse_attr_out out{};
  out.attr_valid = kForever;
  if (node_id == FUSE_ROOT_ID) {
    out.attr = RootAttributes();
  } else {
    const absl::StatusOr<uint64_t> size = SizeOf(BlobOf(node_id));
    if (!size.ok()) return ReplyError(request.ticket, ErrnoFor(size.status()));
    out.attr = FileAttributes(BlobOf(node_id), *size);
  }
  Reply(request.ticket, BytesOf(out));
}

void Handler::Open(const Request& request) {
  SLACKER_FAILPOINT("fuse.open");
  fuse_open_out out{};
  out.open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH;
  Reply(request.ticket, BytesOf(out));
}

void Handler::Read(const Request& request, const std::shared_ptr<void>& owner) {
  SLACKER_FAILPOINT("fuse.read");
  fuse_read_in in;
  if (!Parse(request.body, &in)) return ReplyError(request.ticket, EIO);
  ++reads_;
  const uint64_t blob_id = BlobOf(request.header.nodeid);
  const absl::StatusOr<uint64_t> size = SizeOf(blob_id);
  if (!size.ok()) {
    ++errors_;
    return ReplyError(request.ticket, EIO);
  }
  if (in.offset >= *size || in.size == 0) return Reply(request.ticket, {});
  const auto wanted = static_cast<uint32_t>(std::min<uint64_t>(in.size, *size - in.offset));
  const uint64_t now = ++in_flight_;
  for (uint64_t seen = max_in_flight_; seen < now;) {
    if (max_in_flight_.compare_exchange_weak(seen, now)) break;
  }
  source_->ReadAsync(
      blob_id, in.offset, wanted,
      [this, owner, ticket = request.ticket, wanted](const absl::StatusOr<std::string>& data) {
        FinishRead(ticket, wanted, data);
      });
}

void Handler::FinishRead(const Ticket& ticket, size_t expected,
                         const absl::StatusOr<std::string>& data) {
  --in_flight_;
  // A short answer could become zeros in somebody's page cache.
  if (data.ok() && data->size() == expected) {
    Reply(ticket, *data);
    return NoteServing();
  }
  // Stays with the kernel, and in its slot, for the next server.
  if (absl::IsCancelled(data.status())) return;
  ++errors_;
  ReplyError(ticket, EIO);
}

void Handler::NoteServing() {
  if (!serving_.valid() || has_served_.exchange(true)) return;
  const uint64_t one = 1;
  (void)!write(serving_.get(), &one, sizeof one);  // cannot fail: the counter is far from its limit
}

void Handler::StatFs(const Ticket& ticket) {
  fuse_statfs_out out{};
  out.st.bsize = 4096;
  out.st.frsize = 4096;
  out.st.namelen = 20;
  Reply(ticket, BytesOf(out));
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

void Handler::Reply(const Ticket& ticket, std::string_view body) {
  const int error = Write(ticket, 0, body);
  // ENOENT: the request is not waiting any more (answered by another, or sent again under its other
  // name). ENODEV: aborted. Neither leaves anything to do; after anything else somebody still
  // waits.
  if (error != 0 && error != ENOENT && error != ENODEV) (void)Write(ticket, EIO, {});
  SLACKER_FAILPOINT("fuse.answered");
  Finish(ticket);
}

void Handler::ReplyError(const Ticket& ticket, int error) {
  (void)Write(ticket, error, {});  // as in Reply
  Finish(ticket);
}

int Handler::Write(const Ticket& ticket, int error, std::string_view body) {
  fuse_out_header header{};
  header.len = static_cast<uint32_t>(sizeof header + body.size());
  header.error = -error;
  header.unique = ticket.unique;
  if (header.len <= kSmallAnswerBytes) {
    // On this stack and just written: its pages are there.
    std::array<char, kSmallAnswerBytes> small;
    std::memcpy(small.data(), &header, sizeof header);
    (void)body.copy(small.data() + sizeof header, body.size());
    return write(device_, small.data(), header.len) < 0 ? errno : 0;
  }
  if (header.len > kMaxAnswerBytes) return EMSGSIZE;
  LockedBuffer buffer = answers_.Take();
  std::memcpy(buffer.data(), &header, sizeof header);
  (void)body.copy(buffer.data() + sizeof header, body.size());
  const int result = write(device_, buffer.data(), header.len) < 0 ? errno : 0;
  answers_.GiveBack(std::move(buffer));
  return result;
}

void Handler::Finish(const Ticket& ticket) {
  if (ticket.slot.has_value()) slots_->Free(*ticket.slot);
}

FuseCounters Handler::counters() const {
  return {requests_, reads_, resent_, errors_, max_in_flight_};
}

}  // namespace slacker::fuse
