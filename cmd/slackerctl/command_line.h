// The command line of slackerctl.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cmd/slackerctl/output.h"
#include "cmd/slackerctl/verb.h"

namespace slacker::ctl {

// Every verb and option, declared.
struct CommandLine {
  std::unique_ptr<CLI::App> app;
  struct Declared {
    CLI::App* command;  // of `app`
    Action action;
  };
  std::vector<Declared> verbs;

  CommandLine();
  ~CommandLine();
  bool Has(const std::string& verb) const;
};

// Reads the command line (without the program's name) and runs its verb.
int RunSlackerctl(std::vector<std::string> arguments, const Console& console);

}  // namespace slacker::ctl
