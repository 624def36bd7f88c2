// Sending and receiving one packet of the keeper's protocol, with or without a descriptor. Used on
// both ends; needs nothing but libc, so that the keeper stays small.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include "backend/base/unique_fd.h"

namespace slacker::keeper {

// Room for one descriptor that travels with a message.
struct DescriptorRoom {
  alignas(cmsghdr) char bytes[CMSG_SPACE(sizeof(int))] = {};
};

inline void AddDescriptor(msghdr* message, DescriptorRoom* room, int fd) {
  message->msg_control = room->bytes;
  message->msg_controllen = sizeof room->bytes;
  cmsghdr* header = CMSG_FIRSTHDR(message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
}

// 0 or an errno value. `fd` < 0: no descriptor.
template <typename Packet>
int SendPacket(int socket, const Packet& packet, int fd) {
  iovec part{const_cast<Packet*>(&packet), sizeof packet};
  DescriptorRoom room;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) AddDescriptor(&message, &room, fd);
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? errno : 0;
}

// 0, ECONNRESET at the end of the connection, EPROTO for a packet of another size, or an errno
// value. A descriptor that came along is put into `fd`.
template <typename Packet>
int ReceivePacket(int socket, Packet* packet, UniqueFd* fd) {
  iovec part{packet, sizeof *packet};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t size = 0;
  do {
    size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return errno;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int received = -1;
    std::memcpy(&received, CMSG_DATA(header), sizeof received);
    fd->Reset(received);
  }
  if (size == 0) return ECONNRESET;
  return size == sizeof *packet && (message.msg_flags & MSG_TRUNC) == 0 ? 0 : EPROTO;
}

}  // namespace slacker::keeper
