// What a container has to do, and when it has done it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace slacker::hellobench {

// The container has ended, with code 0 or with whatever code.
struct ReadyExit {
  bool any_code = false;
  bool operator==(const ReadyExit&) const = default;
};
// It has written this text; anything at all, or nothing until its end, if the text is empty.
struct ReadyLine {
  std::string text;
  bool operator==(const ReadyLine&) const = default;
};
// It has answered HTTP on this port, whatever the answer was.
struct ReadyPort {
  uint16_t port = 0;
  std::string path = "/";
  bool operator==(const ReadyPort&) const = default;
};
// What keeps a container busy that goes on after it is ready, and how well it does. Long-running
// measurements are §6.2 of the Slacker paper.
struct Load {
  std::string script;      // for sh, on the node's network; $DURATION: seconds that it is to take
  std::string throughput;  // what stands before the figure in what the script writes
  std::string unit;
  // For sh, on the node's network: ends when the server has answered for the first time. Empty: it has
  // done so when the container is ready, or nobody can tell.
  std::string reply = {};
  bool operator==(const Load&) const = default;
};
using Ready = std::variant<ReadyExit, ReadyLine, ReadyPort>;

struct Task {
  std::string image;                   // reference
  std::vector<std::string> command;    // in place of the image's entrypoint; empty: the image's
  std::vector<std::string> arguments;  // in place of the image's command; empty: the image's
  std::map<std::string, std::string> environment;
  std::map<std::string, std::string> mounts;  // place in the container: folder, whose copy it gets
  Ready ready;
  int64_t time_limit_seconds = 300;  // from the container's start until it is ready
  std::optional<Load> load;
};

}  // namespace slacker::hellobench
