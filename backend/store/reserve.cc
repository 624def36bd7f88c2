#include "backend/store/reserve.h"

#include <cstring>
#include <random>
#include <string>

#include "backend/base/status.h"
#include "backend/store/names.h"

namespace slacker {

absl::Status KeepReserve(Backend& backend) {
  const absl::Status there = backend.Stat(kReserveName).status();
  if (!absl::IsNotFound(there)) return there;
  // Nothing that a file system could compress, or leave out.
  std::mt19937_64 random(
      kReserveBytes);  // NOLINT(cert-msc32-c,cert-msc51-cpp): need not be a secret
  std::string content(kReserveBytes, '\0');
  static_assert(kReserveBytes % sizeof(uint64_t) == 0);
  for (size_t at = 0; at < content.size(); at += sizeof(uint64_t)) {
    const uint64_t word = random();
    std::memcpy(content.data() + at, &word, sizeof word);
  }
  const absl::Status kept = backend.Put(kReserveName, content);
  return absl::IsResourceExhausted(kept) ? absl::OkStatus() : kept;
}

absl::StatusOr<bool> UseReserve(Backend& backend) {
  const absl::Status there = backend.Stat(kReserveName).status();
  if (absl::IsNotFound(there)) return false;
  RETURN_IF_ERROR(there);
  RETURN_IF_ERROR(backend.Remove(kReserveName));
  return true;
}

}  // namespace slacker
