#include "cmd/hellobench/site/files.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"

namespace slacker::hellobench {

namespace fs = std::filesystem;

absl::Status MakeDirectories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  return error ? ErrnoError(error.value(), "make " + path) : absl::OkStatus();
}

absl::Status WriteText(const std::string& path, std::string_view text) {
  RETURN_IF_ERROR(MakeDirectories(fs::path(path).parent_path().string()));
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  return file.fail() ? ErrnoError(errno, "write " + path) : absl::OkStatus();
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  if (!file.is_open()) return ErrnoError(errno, "open " + path);
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) return ErrnoError(errno, "read " + path);
  return text.str();
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return error ? ErrnoError(error.value(), "remove " + path) : absl::OkStatus();
}

bool Accepts(const std::string& unix_socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (unix_socket.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, unix_socket.c_str(), unix_socket.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

bool Accepts(const std::string& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) return false;
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace slacker::hellobench
