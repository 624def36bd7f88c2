// What a keeper hands to the program that replaces it in its process (Verb::kReplace): its
// descriptors, which stay open over execve(2), and what is known of each; as text in a memfd.
//
//   slacker-keeper-state 1                          the protocol's version (protocol.h)
//   listener FD
//   lock FD
//   deadline SECONDS UNSERVED_SINCE OWNED_SINCE     nanoseconds of CLOCK_MONOTONIC
//   client FD PID OWNER ASKED                       0 or 1; ASKED: waits for the reply
//   kept FD NAME
//
// Lines after the first in any order; a program reads older versions, and refuses what it does not
// know.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace slacker::keeper {

struct KeeperState {
  struct Client {
    int fd = -1;
    pid_t pid = 0;
    bool owner = false;
    bool asked = false;
  };
  struct Kept {
    int fd = -1;
    std::string name;
  };
  int listener = -1;
  int lock = -1;
  int64_t deadline_seconds = 0;
  int64_t unserved_since_ns = 0;
  int64_t owned_since_ns = 0;
  std::vector<Client> clients;
  std::vector<Kept> kept;
};

// One to 31 printable characters without ':' and blanks: fits a packet, a line, and a list of
// systemd's.
bool IsUsableName(std::string_view name);

std::string EncodeState(const KeeperState& state);
// False when the text is not that of a state.
bool DecodeState(const std::string& text, KeeperState* state);

}  // namespace slacker::keeper
