// A sum (CRC-32C) for each page of a blob of which the cache file was given verified bytes: what the
// disk gives back is compared with it. What a page of a blob has to be never changes, so neither
// does its sum, whoever notes it.
//
// Thread-safe, without locks: who may know of bytes before their sum does not mind; who finds no sum
// has to compare the bytes with something else.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "backend/base/crc32c.h"

namespace slacker {

class PageSums {
 public:
  static constexpr uint64_t kPageBytes = 4096;
  static constexpr uint32_t kUnknown = 0;

  explicit PageSums(uint64_t pages) : sums_(pages) {}

  // kUnknown where there is none.
  uint32_t Of(uint64_t page) const { return sums_[page].load(std::memory_order_relaxed); }
  void Set(uint64_t page, uint32_t sum) { sums_[page].store(sum, std::memory_order_relaxed); }
  // Whether there was one.
  bool Forget(uint64_t page, uint64_t count) {
    bool had = false;
    for (; count > 0; ++page, --count) {
      had = sums_[page].exchange(kUnknown, std::memory_order_relaxed) != kUnknown || had;
    }
    return had;
  }
  uint64_t size() const { return sums_.size(); }

  // Of verified bytes from the beginning of a page on; behind their end there are zeros up to the
  // next page.
  void Note(uint64_t page, std::string_view bytes);

  // Of a whole page. Never kUnknown.
  static uint32_t Sum(std::string_view page) {
    const uint32_t sum = Crc32c(page);
    return sum == kUnknown ? 1 : sum;
  }

 private:
  std::vector<std::atomic<uint32_t>> sums_;
};

}  // namespace slacker
