// libnfs' headers, in the order that they need.
#pragma once

#include <cstdint>
#include <cstring>

// clang-format off
#include <sys/time.h>
#include <sys/types.h>
#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-raw-nfs.h>
#include <nfsc/libnfs-raw-nfs4.h>
// clang-format on

namespace slacker::nfs {

// An enumeration as the server sent it: it may be none of the values that C++ has it be.
template <class Enumeration>
uint32_t NumberOf(const Enumeration& sent) {
  static_assert(sizeof sent == sizeof(uint32_t));
  uint32_t number = 0;
  std::memcpy(&number, &sent, sizeof number);
  return number;
}

}  // namespace slacker::nfs
