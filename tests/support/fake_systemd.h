// What systemd does for the keeper's unit: a notification socket, a descriptor store, and a start with
// what is stored. One thread.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/unique_fd.h"

namespace slacker::testing {

class FakeSystemd {
 public:
  FakeSystemd(const std::string& path, std::string keeper)
      : path_(path), keeper_(std::move(keeper)) {
    socket_.Reset(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  // Starts the keeper as the unit's process, with what is stored as descriptors from 3 on. Waits for
  // its READY=1.
  void Start(const std::string& keeper_socket) {
    (void)Stored();
    pid_ = fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) Execute(keeper_socket);
    while (Receive() != "READY=1") {
    }
  }
  pid_t pid() const { return pid_; }
  void Kill() {
    (void)kill(pid_, SIGKILL);
    Wait();
  }
  int Wait() {
    int status = 0;
    (void)waitpid(pid_, &status, 0);
    return status;
  }
  // Takes what has been sent so far.
  std::vector<std::string> Stored() {
    while (!Receive(MSG_DONTWAIT).empty()) {
    }
    std::vector<std::string> names;
    for (const auto& [name, fd] : stored_) names.push_back(name);
    return names;
  }

 private:
  std::string Receive(int flags = 0) {
    char text[256] = {};
    iovec part{text, sizeof text - 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | flags) <= 0) return "";
    UniqueFd fd;
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(header), sizeof received);
      fd.Reset(received);
    }
    const std::string sent = text;
    const size_t name = sent.find("\nFDNAME=");
    if (sent.starts_with("FDSTORE=1\n")) stored_[sent.substr(name + 8)] = std::move(fd);
    if (sent.starts_with("FDSTOREREMOVE=1\n")) stored_.erase(sent.substr(name + 8));
    return sent;
  }
  void Execute(const std::string& keeper_socket) {
    std::string names;
    std::vector<int> copies;
    // Above where they are to be, so that none is overwritten.
    for (const auto& [name, fd] : stored_) {
      copies.push_back(fcntl(fd.get(), F_DUPFD, 100));
      names += (names.empty() ? "" : ":") + name;
    }
    for (size_t i = 0; i < copies.size(); ++i) {
      (void)dup2(copies[i], static_cast<int>(i) + 3);
      (void)close(copies[i]);
    }
    setenv("NOTIFY_SOCKET", path_.c_str(), 1);
    setenv("LISTEN_FDS", std::to_string(copies.size()).c_str(), 1);
    setenv("LISTEN_FDNAMES", names.c_str(), 1);
    setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
    (void)execl(keeper_.c_str(), keeper_.c_str(), "--socket", keeper_socket.c_str(), nullptr);
    _exit(127);
  }

  const std::string path_;
  const std::string keeper_;
  UniqueFd socket_;
  std::map<std::string, UniqueFd> stored_;
  pid_t pid_ = 0;
};

}  // namespace slacker::testing
