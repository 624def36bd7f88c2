#include "cmd/slackerd-keeper/descriptor_store.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "cmd/slackerd-keeper/keeper_state.h"
#include "snapshotter/keeper/packet.h"
#include "snapshotter/keeper/protocol.h"

namespace slacker::keeper {
namespace {

constexpr int kFirstStored = 3;  // SD_LISTEN_FDS_START

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

DescriptorStore DescriptorStore::FromEnvironment() {
  DescriptorStore store;
  const std::string path = Variable("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() < 2 || path.size() >= sizeof address.sun_path) return store;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract name
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (socket.valid() &&
      connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0) {
    store.socket_ = std::move(socket);
  }
  return store;
}

void DescriptorStore::Keep(const std::string& name, int fd) const {
  Send("FDSTORE=1\nFDNAME=" + name, fd);
}

void DescriptorStore::Forget(const std::string& name) const {
  Send("FDSTOREREMOVE=1\nFDNAME=" + name, -1);
}

void DescriptorStore::Send(const std::string& message, int fd) const {
  if (!socket_.valid()) return;
  iovec part{const_cast<char*>(message.data()), message.size()};
  DescriptorRoom room;
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (fd >= 0) AddDescriptor(&header, &room, fd);
  (void)sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);  // see the header
}

std::map<std::string, UniqueFd> TakeStoredDescriptors() {
  std::map<std::string, UniqueFd> stored;
  const bool ours = Variable("LISTEN_PID") == std::to_string(getpid());
  const int count = ours ? std::atoi(Variable("LISTEN_FDS").c_str()) : 0;
  const std::string names = Variable("LISTEN_FDNAMES");
  for (const char* variable : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    (void)unsetenv(variable);
  }
  size_t at = 0;
  for (int fd = kFirstStored; fd < kFirstStored + count; ++fd) {
    UniqueFd descriptor(fd);
    const size_t end = std::min(names.find(':', at), names.size());
    const std::string name = names.substr(std::min(at, names.size()), end - std::min(at, end));
    at = end + 1;
    if (!IsUsableName(name) || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) continue;
    if (stored.size() >= kMaxDescriptors) continue;  // not all ours: there is room for so many
    stored[name] = std::move(descriptor);
  }
  return stored;
}

void ForgetServiceManager() {
  for (const char* variable : {"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    (void)unsetenv(variable);
  }
}

}  // namespace slacker::keeper
