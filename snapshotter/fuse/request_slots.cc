#include "snapshotter/fuse/request_slots.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "backend/base/status.h"
#include "snapshotter/fuse/fuse_protocol.h"

namespace slacker::fuse {
namespace {

constexpr size_t kReaderAt = RequestSlots::kSlots * RequestSlots::kSlotBytes;
constexpr size_t kBytes = kReaderAt + RequestSlots::kSlotBytes;
constexpr uint32_t kReaderMagic = 0x52574c53;                      // SLWR
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;  // a mapping never ends early
static_assert(RequestSlots::kSlots >= 2 * kMaxBackground);
static_assert(RequestSlots::kRequestBytes >= sizeof(fuse_in_header) + sizeof(fuse_init_in));

// Of the request itself: 0 in a free slot. The kernel writes it, so no other length is stored.
uint32_t* Length(char* slot) { return reinterpret_cast<uint32_t*>(slot); }
uint64_t* Whole(char* slot) {
  return reinterpret_cast<uint64_t*>(slot + RequestSlots::kRequestBytes);
}

// Who reads into a memory. Looks like a free slot to the versions before.
struct Reader {
  uint32_t free = 0;
  uint32_t magic = kReaderMagic;
  int64_t pid = 0;
  uint64_t start_ticks = 0;  // since the boot
};

// 0 when there is no such process.
uint64_t StartOf(int64_t pid) {
  const UniqueFd file(
      open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  std::string text(4096, '\0');
  const ssize_t size = file.valid() ? read(file.get(), text.data(), text.size()) : -1;
  text.resize(size > 0 ? static_cast<size_t>(size) : 0);
  size_t at = text.rfind(')');  // of the name, which may hold anything; the 20th field behind it
  for (int field = 0; field < 20 && at != text.npos; ++field) at = text.find(' ', at + 1);
  return at == text.npos ? 0 : std::strtoull(text.c_str() + at, nullptr, 10);
}

struct Mapping {
  Mapping(void* at, size_t bytes) : base(at), size(bytes) {}
  ~Mapping() {
    if (base != MAP_FAILED) (void)munmap(base, size);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  void* const base;
  const size_t size;
};

}  // namespace

RequestSlots::RequestSlots(UniqueFd memory, char* base) : memory_(std::move(memory)), base_(base) {
  for (size_t slot = kSlots; slot > 0; --slot) free_.push_back(slot - 1);
}

absl::StatusOr<UniqueFd> RequestSlots::MakeMemory() {
  UniqueFd memory(memfd_create("slacker-requests", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const Reader reader{.pid = getpid(), .start_ticks = StartOf(getpid())};
  if (!memory.valid() || ftruncate(memory.get(), kBytes) != 0 ||
      pwrite(memory.get(), &reader, sizeof reader, kReaderAt) != ssize_t{sizeof reader} ||
      fcntl(memory.get(), F_ADD_SEALS, kSeals) != 0) {
    return ErrnoError(errno, "memory for requests");
  }
  return memory;
}

absl::StatusOr<std::unique_ptr<RequestSlots>> RequestSlots::Create() {
  ASSIGN_OR_RETURN(UniqueFd memory, MakeMemory());
  void* base = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (base == MAP_FAILED) return ErrnoError(errno, "map memory for requests");
  // The kernel must find every page there: a read(2) by a process with a SIGKILL pending fails where
  // it has to wait for one, and with it the request.
  std::memset(base, 0, kReaderAt);
  (void)mlock(base, kBytes);  // without the permission the pages may be taken away again
  return std::unique_ptr<RequestSlots>(
      new RequestSlots(std::move(memory), static_cast<char*>(base)));
}

RequestSlots::~RequestSlots() { (void)munmap(base_, kBytes); }

std::optional<size_t> RequestSlots::Take() {
  MutexLock lock(&mutex_);
  while (free_.empty() && !stopped_) changed_.Wait(&mutex_);
  if (stopped_) return std::nullopt;
  const size_t slot = free_.back();
  free_.pop_back();
  return slot;
}

std::optional<size_t> RequestSlots::TakeNow() {
  MutexLock lock(&mutex_);
  if (free_.empty()) return std::nullopt;
  const size_t slot = free_.back();
  free_.pop_back();
  return slot;
}

void RequestSlots::Stop() {
  MutexLock lock(&mutex_);
  stopped_ = true;
  changed_.SignalAll();
}

void RequestSlots::Filled(size_t slot) {
  std::atomic_ref<uint64_t>(*Whole(At(slot))).store(1, std::memory_order_release);
}

std::string_view RequestSlots::Request(size_t slot) const {
  return {At(slot), std::min<size_t>(*Length(At(slot)), kRequestBytes)};
}

void RequestSlots::Free(size_t slot) {
  // In this order: what is not whole is looked at once we are gone.
  std::atomic_ref<uint64_t>(*Whole(At(slot))).store(0, std::memory_order_release);
  std::atomic_ref<uint32_t>(*Length(At(slot))).store(0, std::memory_order_release);
  MutexLock lock(&mutex_);
  free_.push_back(slot);
  changed_.Signal();
}

absl::StatusOr<UniqueFd> RequestSlots::ReaderOf(const UniqueFd& memory) {
  Reader reader{.magic = 0};
  if (pread(memory.get(), &reader, sizeof reader, kReaderAt) != ssize_t{sizeof reader} ||
      reader.free != 0 || reader.magic != kReaderMagic) {
    return NotFound("the memory does not say whose it is");
  }
  if (reader.pid == getpid() && reader.start_ticks == StartOf(getpid())) return UniqueFd();
  UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, reader.pid, 0)));
  if (!process.valid()) {
    if (errno == ESRCH || errno == EINVAL) return process;  // EINVAL: it is a thread's by now
    return ErrnoError(errno, "pidfd_open");
  }
  // In this order: while it has not ended, /proc speaks of the process that we have.
  const uint64_t start_ticks = StartOf(reader.pid);
  pollfd ended{process.get(), POLLIN, 0};
  if (poll(&ended, 1, 0) != 0 || start_ticks != reader.start_ticks) process.Reset();
  return process;
}

absl::Status RequestSlots::TakeOver(const UniqueFd& memory, Predecessor predecessor,
                                    const std::function<void(size_t slot)>& handle) {
  ASSIGN_OR_RETURN(const bool all, Copy(
                                       memory, predecessor, [this] { return Take(); }, handle));
  return all ? absl::OkStatus() : Cancelled("the server has stopped");
}

absl::StatusOr<bool> RequestSlots::Gather(const UniqueFd& memory, std::vector<size_t>* slots) {
  return Copy(
      memory, Predecessor::kGone, [this] { return TakeNow(); },
      [slots](size_t slot) { slots->push_back(slot); });
}

// False when `take` had no slot any more.
absl::StatusOr<bool> RequestSlots::Copy(const UniqueFd& memory, Predecessor predecessor,
                                        const TakeSlot& take,
                                        const std::function<void(size_t slot)>& handle) {
  struct stat status {};
  if (fstat(memory.get(), &status) != 0) return ErrnoError(errno, "a predecessor's requests");
  const auto size = static_cast<size_t>(status.st_size);
  // Sealed memory cannot shrink under the mapping. The kernel may have added a seal (F_SEAL_EXEC).
  const int seals = fcntl(memory.get(), F_GET_SEALS);
  if (size == 0 || size % kSlotBytes != 0 || seals < 0 || (seals & kSeals) != kSeals) {
    return InvalidArgument("no memory for requests");
  }
  const Mapping old(mmap(nullptr, size, PROT_READ, MAP_SHARED, memory.get(), 0), size);
  if (old.base == MAP_FAILED) return ErrnoError(errno, "map a predecessor's requests");
  for (size_t offset = 0; offset < size; offset += kSlotBytes) {
    char* const left = static_cast<char*>(old.base) + offset;
    const bool whole = std::atomic_ref<uint64_t>(*Whole(left)).load(std::memory_order_acquire) != 0;
    if (*Length(left) == 0 || (!whole && predecessor == Predecessor::kMayBeReading)) continue;
    fuse_in_header header;
    std::memcpy(&header, left, sizeof header);
    {
      MutexLock lock(&mutex_);
      if (!taken_over_.insert(header.unique).second) continue;
    }
    const std::optional<size_t> slot = take();
    if (!slot.has_value()) {
      MutexLock lock(&mutex_);
      taken_over_.erase(header.unique);
      return false;
    }
    std::memcpy(At(*slot), left, kRequestBytes);
    Filled(*slot);
    handle(*slot);
  }
  return true;
}

}  // namespace slacker::fuse
