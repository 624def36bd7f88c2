#include "backend/https/token_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

namespace slacker::https {
namespace {

constexpr size_t kMaxTokenBytes = 8 << 10;

bool IsVisible(char c) { return c > ' ' && c < 0x7f; }

}  // namespace

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return Unavailable(Message(ErrnoError(errno, "open " + path)));
  std::string token(kMaxTokenBytes + 2, '\0');
  size_t size = 0;
  while (size < token.size()) {
    const ssize_t got = read(fd.get(), token.data() + size, token.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Unavailable(Message(ErrnoError(errno, "read " + path)));
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  token.resize(size);
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  if (token.empty() || token.size() > kMaxTokenBytes ||
      !std::all_of(token.begin(), token.end(), IsVisible)) {
    return Unavailable(path + " holds no token");
  }
  return token;
}

}  // namespace slacker::https
