// Memory for tables that grow with the number of an image's files. Large blocks lie in files without
// a name, so that the kernel may write them out, and TrimSpilled() takes them out of the process's
// resident memory: what remains of a layer of millions of files is what is being worked on. Small
// blocks, all tables of usual images, are ordinary memory; in a program that says so, until it has too
// many of them: an image may have hundreds of layers. So are large ones where no file can be had.
//
// The files lie in $TMPDIR, else in /var/tmp, which is a disk where /tmp may be memory. Their room is
// allocated first: a full disk is found out while there is still a choice.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace slacker {

// Blocks from this size on always lie in files.
inline constexpr size_t kMinSpilledBytes = size_t{8} << 20;
// After SpillManySmallTables smaller ones do, from this size on, where ordinary memory would hold more
// of them than that.
inline constexpr size_t kMinCountedBytes = size_t{32} << 10;
inline constexpr size_t kMaxCountedBytes = size_t{64} << 20;

// For programs that work on one image after the other. Not for slackerd: what others wait for is in its
// tables, and stays there for long.
void SpillManySmallTables();

// For any object. Never null. REQUIRES: bytes >= kMinCountedBytes. Thread-safe, as the next two.
void* AllocateTable(size_t bytes);
// REQUIRES: AllocateTable gave `block` for so many bytes.
void FreeTable(void* block, size_t bytes);

// To be called for every page of a table that is written or read: now and then it lets go of what
// lies in files. Nothing is lost; what is touched again comes back.
void TrimSpilled();
// The same for a loop over rows that lie in memory already.
inline void TrimSpilledAt(size_t row) {
  constexpr size_t kRowsPerPage = 1024;
  if (row % kRowsPerPage == 0) TrimSpilled();
}
// The same where each row leads to rows of other tables, anywhere in them.
inline void TrimSpilledAround(size_t row) {
  constexpr size_t kRowsPerPage = 64;
  if (row % kRowsPerPage == 0) TrimSpilled();
}

template <typename T>
class SpillAllocator {
 public:
  using value_type = T;

  SpillAllocator() = default;
  template <typename U>
  SpillAllocator(const SpillAllocator<U>&) {}  // NOLINT: what an allocator must have

  T* allocate(size_t count) {
    const size_t bytes = count * sizeof(T);
    return static_cast<T*>(bytes < kMinCountedBytes ? ::operator new(bytes) : AllocateTable(bytes));
  }
  void deallocate(T* block, size_t count) {
    const size_t bytes = count * sizeof(T);
    if (bytes < kMinCountedBytes) {
      ::operator delete(block);
    } else {
      FreeTable(block, bytes);
    }
  }
  // Rows that have something to give back are touched once more at their end: they are let go, too.
  template <typename U>
  void destroy(U* row) {
    row->~U();
    constexpr uintptr_t kBytesPerPage = uintptr_t{64} << 10;
    if (!std::is_trivially_destructible_v<U> &&
        reinterpret_cast<uintptr_t>(row) % kBytesPerPage < sizeof(U)) {
      TrimSpilled();
    }
  }
  friend bool operator==(const SpillAllocator&, const SpillAllocator&) { return true; }
};

// A vector whose rows spill.
template <typename T>
using TableVector = std::vector<T, SpillAllocator<T>>;

// What vectors do when they are full, without both copies in memory: afterwards there is room for
// `room` rows in all. REQUIRES: room >= rows->size().
template <typename T>
void MoveToRoom(TableVector<T>* rows, size_t room) {
  constexpr size_t kRowsAtATime = std::max<size_t>(1, (size_t{64} << 10) / sizeof(T));
  TableVector<T> moved;
  moved.reserve(room);
  for (size_t i = 0; i < rows->size(); i += kRowsAtATime) {
    const auto from = rows->begin() + static_cast<std::ptrdiff_t>(i);
    const auto count = static_cast<std::ptrdiff_t>(std::min(kRowsAtATime, rows->size() - i));
    moved.insert(moved.end(), std::make_move_iterator(from), std::make_move_iterator(from + count));
    TrimSpilled();
  }
  *rows = std::move(moved);
}

// As many rows, all alike, without all of them in memory together.
template <typename T>
void ResizeTable(TableVector<T>* rows, size_t count) {
  constexpr size_t kRowsAtATime = std::max<size_t>(1, (size_t{64} << 10) / sizeof(T));
  rows->reserve(count);
  while (rows->size() < count) {
    rows->resize(std::min(count, rows->size() + kRowsAtATime));
    TrimSpilled();
  }
}

// Makes room for `count` more rows where there is none.
template <typename T>
void GrowFor(TableVector<T>* rows, size_t count) {
  if (rows->capacity() - rows->size() >= count) return;
  MoveToRoom(rows, std::max(2 * rows->capacity(), rows->size() + count));
}

}  // namespace slacker
