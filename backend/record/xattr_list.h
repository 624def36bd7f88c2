// The extended attributes of a node. Nearly all nodes have none, which costs a pointer. Those of others
// are rows of bytes in one block: their own, or one in an arena, which spills as a layer's tables do
// (backend/base/spill.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "backend/record/arena.h"

namespace slacker {

using Xattr = std::pair<std::string, std::string>;  // full name ("security.capability"), value
using XattrView = std::pair<std::string_view, std::string_view>;

// A value, in the order in which it was made. Thread-compatible.
class XattrList {
 public:
  // The place of an attribute: it and the views that it gives are valid as long as the list's bytes.
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = XattrView;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = XattrView;

    XattrView operator*() const {
      const Lengths lengths = Load<Lengths>(row_);
      const char* const name = row_ + sizeof lengths;
      return {{name, lengths.name}, {name + lengths.name, lengths.value}};
    }
    Iterator& operator++() {
      const Lengths lengths = Load<Lengths>(row_);
      row_ += sizeof lengths + lengths.name + lengths.value;
      return *this;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    friend class XattrList;
    explicit Iterator(const char* row) : row_(row) {}
    const char* row_;
  };

  XattrList() = default;
  XattrList(std::initializer_list<XattrView> xattrs) { Set(xattrs); }
  // Of any row of pairs of name and value. REQUIRES: less than 4 GiB.
  template <typename Pairs>
  static XattrList Of(const Pairs& pairs) {
    XattrList list;
    list.Set(pairs);
    return list;
  }
  XattrList(const XattrList& other);
  XattrList(XattrList&& other) noexcept : block_(std::exchange(other.block_, 0)) {}
  XattrList& operator=(XattrList other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~XattrList() { Free(); }

  // The bytes go into the arena, which must outlive this and every copy made from now on: these do not
  // copy them. What is too long for a block of the arena, or for what is left of it, stays its own.
  void KeepIn(Arena* arena);

  bool empty() const { return block_ == 0; }
  size_t size() const { return empty() ? 0 : Load<Header>(block()).count; }
  Iterator begin() const { return Iterator(empty() ? nullptr : block() + sizeof(Header)); }
  Iterator end() const {
    return Iterator(empty() ? nullptr : block() + sizeof(Header) + Load<Header>(block()).bytes);
  }
  friend bool operator==(const XattrList& a, const XattrList& b);

 private:
  struct Header {
    uint32_t count = 0;
    uint32_t bytes = 0;  // of the rows, which follow
  };
  struct Lengths {  // before the name and the value of a row
    uint32_t name = 0;
    uint32_t value = 0;
  };
  static constexpr uintptr_t kOwn = 1;

  template <typename T>
  static T Load(const char* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }

  template <typename Pairs>
  void Set(const Pairs& pairs) {
    Header header;
    for (const auto& [name, value] : pairs) {
      ++header.count;
      header.bytes += static_cast<uint32_t>(sizeof(Lengths) + name.size() + value.size());
    }
    if (header.count == 0) return;
    char* at = Allocate(header);
    for (const auto& [name, value] : pairs) at = PutRow({name, value}, at);
  }
  // Where the rows go.
  char* Allocate(const Header& header);
  static char* PutRow(XattrView xattr, char* at);
  const char* block() const { return reinterpret_cast<const char*>(block_ & ~kOwn); }
  void Free() {
    if ((block_ & kOwn) != 0) delete[] block();
  }

  uintptr_t block_ = 0;  // 0: no attributes; with kOwn, which no address has
};

}  // namespace slacker
