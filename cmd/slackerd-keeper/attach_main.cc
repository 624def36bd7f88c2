// slackerd-attach --lock PATH: slackerd's helper (snapshotter/attach/attach_helper.h). Started by
// slackerd only, with its sockets as descriptors 3 and 4.
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "snapshotter/attach/attach_helper.h"

int main(int argc, char** argv) {
  if (argc != 3 || std::string_view(argv[1]) != "--lock") {
    std::fputs("slackerd-attach is started by slackerd\n", stderr);
    return 2;
  }
  // Whatever else slackerd had open without close-on-exec: no /dev/fuse may be in this process.
  if (close_range(slacker::attach::kHelperSwitch + 1, ~0U, 0) != 0) return 1;
  return slacker::attach::RunHelper(slacker::attach::kHelperSocket, slacker::attach::kHelperSwitch,
                                    argv[2]);
}
