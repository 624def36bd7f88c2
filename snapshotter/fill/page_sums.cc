#include "snapshotter/fill/page_sums.h"

#include <string>

namespace slacker {

void PageSums::Note(uint64_t page, std::string_view bytes) {
  for (; bytes.size() >= kPageBytes; ++page, bytes.remove_prefix(kPageBytes)) {
    Set(page, Sum(bytes.substr(0, kPageBytes)));
  }
  if (bytes.empty()) return;
  std::string last(bytes);
  last.resize(kPageBytes, '\0');
  Set(page, Sum(last));
}

}  // namespace slacker
