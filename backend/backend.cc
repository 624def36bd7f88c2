#include "backend/backend.h"

#include <future>
#include <utility>

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr size_t kMaxNameBytes = 255;
constexpr std::string_view kTemporaryPrefix = ".tmp-";
constexpr uint64_t kReadStep = 8 << 20;
constexpr uint64_t kMaxReadBytes = 64 << 20;

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

bool IsComponent(std::string_view component) {
  if (component.empty() || component == "." || component == "..") return false;
  if (component.substr(0, kTemporaryPrefix.size()) == kTemporaryPrefix) return false;
  for (const char c : component) {
    if (!IsNameCharacter(c)) return false;
  }
  return true;
}

absl::Status TooLarge(std::string_view name, uint64_t limit) {
  return ResourceExhausted("object " + std::string(name) + " is larger than " +
                           std::to_string(limit) + " bytes");
}

}  // namespace

absl::Status ValidateObjectName(std::string_view name) {
  const absl::Status bad =
      InvalidArgument("not an object name: \"" + std::string(name.substr(0, 255)) + "\"");
  if (name.size() > kMaxNameBytes) return bad;
  for (;;) {
    const size_t slash = name.find('/');
    if (!IsComponent(name.substr(0, slash))) return bad;
    if (slash == std::string_view::npos) return absl::OkStatus();
    name.remove_prefix(slash + 1);
  }
}

absl::Status ValidateRead(std::string_view name, uint64_t size) {
  if (size > kMaxReadBytes) return InvalidArgument("read of more than 64 MiB");
  return ValidateObjectName(name);
}

absl::Status ValidateListPrefix(std::string_view prefix) {
  if (prefix.empty()) return absl::OkStatus();
  if (prefix.back() != '/') return InvalidArgument("a prefix ends with a slash");
  return ValidateObjectName(prefix.substr(0, prefix.size() - 1));
}

void ReadBackend::ReadCopyAsync(int /*copy*/, std::string_view name, uint64_t offset, uint64_t size,
                                ReadCallback done) {
  ReadAsync(name, offset, size, std::move(done));
}

absl::StatusOr<std::string> ReadBackend::Read(std::string_view name, uint64_t offset,
                                              uint64_t size) {
  std::promise<absl::StatusOr<std::string>> promise;
  auto future = promise.get_future();
  ReadAsync(name, offset, size, [&promise](absl::StatusOr<std::string> result) {
    promise.set_value(std::move(result));
  });
  return future.get();
}

absl::StatusOr<std::string> ReadBackend::ReadWhole(std::string_view name, uint64_t limit) {
  std::string whole;
  for (;;) {
    // Asks for one byte more than allowed, so that an object of exactly `limit` bytes is seen to
    // end.
    const uint64_t want = std::min(kReadStep, limit + 1 - whole.size());
    ASSIGN_OR_RETURN(std::string part, Read(name, whole.size(), want));
    const bool end = part.size() < want;
    if (whole.empty() && !end && limit > want) {
      // A large one, or one that pretends to be: no more memory than it needs, and none beyond the limit.
      ASSIGN_OR_RETURN(const ObjectInfo info, Stat(name));
      if (info.size_bytes > limit) return TooLarge(name, limit);
      whole.reserve(info.size_bytes);
    }
    whole = whole.empty() && end ? std::move(part) : whole.append(part);
    if (whole.size() > limit) return TooLarge(name, limit);
    if (end) return whole;
  }
}

absl::Status Backend::Put(std::string_view name, std::string_view content) {
  ASSIGN_OR_RETURN(auto writer, Create(name));
  RETURN_IF_ERROR(writer->Append(content));
  return writer->Commit();
}

}  // namespace slacker
