#include "backend/layer/name_table.h"

#include <algorithm>

#include "backend/base/status.h"

namespace slacker {

size_t NameTable::ChildHash::operator()(const Child& child) const {
  return absl::HashOf(child.parent, absl::string_view(child.text.data(), child.text.size()));
}

NameTable::NameTable(uint32_t root_node) : children_(0, ChildHash{this}, ChildEqual{this}) {
  const uint32_t text = texts_.Allocate(1);
  *texts_.At(text) = 0;
  names_.push_back({.node = root_node, .text = text});
}

uint32_t NameTable::Find(uint32_t directory, std::string_view text) const {
  const auto found = children_.find(Child{directory, text});
  return found == children_.end() ? kNone : *found;
}

absl::StatusOr<uint32_t> NameTable::Add(uint32_t directory, std::string_view text, uint32_t node) {
  if (!texts_.HasRoomFor(text.size() + 1)) return InvalidArgument("too much metadata");
  const uint32_t at = texts_.Allocate(text.size() + 1);
  char* const to = texts_.At(at);
  *to = static_cast<char>(text.size());
  std::copy(text.begin(), text.end(), to + 1);
  const uint32_t name = size();
  GrowFor(&names_, 1);
  names_.push_back({node, directory, at});
  children_.insert(name);
  return name;
}

void NameTable::Unlink(uint32_t directory, std::string_view text) {
  const auto found = children_.find(Child{directory, text});
  const uint32_t name = *found;
  children_.erase(found);  // while it can still be hashed
  names_[name].parent = kNone;
}

NameTable::Children NameTable::Gather() {
  children_ = decltype(children_)(0, ChildHash{this}, ChildEqual{this});
  Children children;
  ResizeTable(&children.first_, names_.size() + 1);
  for (uint32_t i = 0; i < size(); ++i) {
    TrimSpilledAt(i);
    if (names_[i].parent != kNone) ++children.first_[names_[i].parent];
  }
  uint32_t end = 0;
  for (uint32_t& first : children.first_) first = end += first;
  // Now each has the place after its last; filled from behind they end up with their first.
  ResizeTable(&children.names_, end);
  for (uint32_t i = size(); i-- > 0;) {
    TrimSpilledAt(i);
    if (names_[i].parent != kNone) children.names_[--children.first_[names_[i].parent]] = i;
  }
  return children;
}

}  // namespace slacker
