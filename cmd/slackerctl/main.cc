// slackerctl: publishes images and looks after a store.

#include <malloc.h>
#include <unistd.h>

#include <iostream>
#include <string>
#include <vector>

#include "backend/base/log.h"
#include "backend/base/spill.h"
#include "cmd/slackerctl/command_line.h"

int main(int argc, char** argv) {
  // Chunks are allocated on one thread and freed on another: with an arena for each thread the
  // process would keep several times of what it uses.
  (void)mallopt(M_ARENA_MAX, 2);
  slacker::SpillManySmallTables();
  const slacker::ctl::Console console{.out = std::cout,
                                      .err = std::cerr,
                                      .interactive = isatty(STDERR_FILENO) == 1,
                                      .terminal = isatty(STDOUT_FILENO) == 1};
  // Elsewhere programs read it: slackerd, of the publisher that it starts.
  if (console.interactive) slacker::LogForPeople("slackerctl");
  return slacker::ctl::RunSlackerctl(std::vector<std::string>(argv + 1, argv + argc), console);
}
