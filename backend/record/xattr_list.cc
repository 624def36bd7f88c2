#include "backend/record/xattr_list.h"

#include <algorithm>

namespace slacker {

XattrList::XattrList(const XattrList& other) : block_(other.block_) {
  if ((block_ & kOwn) == 0) return;
  const Header header = Load<Header>(other.block());
  const char* const rows = other.block() + sizeof header;
  std::copy(rows, rows + header.bytes, Allocate(header));
}

char* XattrList::Allocate(const Header& header) {
  char* const own = new char[sizeof header + header.bytes];
  std::memcpy(own, &header, sizeof header);
  block_ = reinterpret_cast<uintptr_t>(own) | kOwn;
  return own + sizeof header;
}

char* XattrList::PutRow(XattrView xattr, char* at) {
  const auto [name, value] = xattr;
  const Lengths lengths{static_cast<uint32_t>(name.size()), static_cast<uint32_t>(value.size())};
  std::memcpy(at, &lengths, sizeof lengths);
  at = std::copy(name.begin(), name.end(), at + sizeof lengths);
  return std::copy(value.begin(), value.end(), at);
}

void XattrList::KeepIn(Arena* arena) {
  if ((block_ & kOwn) == 0) return;
  const size_t bytes = sizeof(Header) + Load<Header>(block()).bytes;
  if (bytes >= Arena::kBlockBytes || !arena->HasRoomFor(bytes + 1)) return;
  char* kept = arena->At(arena->Allocate(bytes + 1));
  kept += reinterpret_cast<uintptr_t>(kept) & kOwn;  // an even address
  std::memcpy(kept, block(), bytes);
  Free();
  block_ = reinterpret_cast<uintptr_t>(kept);
}

bool operator==(const XattrList& a, const XattrList& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

}  // namespace slacker
