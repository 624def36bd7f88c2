#include "cmd/slackerctl/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {

CommandLine::CommandLine()
    : app(std::make_unique<CLI::App>(
          "Publishes container images into a Slacker store and looks after them", "slackerctl")) {
  app->set_version_flag("--version", "slackerctl " SLACKER_VERSION);
  app->require_subcommand(1);
  for (const Verb* verb : Verbs()) {
    CLI::App* subcommand = app->add_subcommand(verb->name, verb->help);
    Command command(subcommand);
    verbs.push_back({subcommand, verb->declare(&command)});
  }
}

CommandLine::~CommandLine() = default;

bool CommandLine::Has(const std::string& verb) const {
  return std::ranges::any_of(
      verbs, [&verb](const Declared& one) { return one.command->get_name() == verb; });
}

namespace {

// Who reads a full disk's half of a list must not take it for the whole.
int Flushed(const Console& console, int code) {
  if (console.out.flush() || code != kExitOk) return code;
  console.err << "slackerctl: cannot write to standard output\n";
  return kExitFailed;
}

}  // namespace

int RunSlackerctl(std::vector<std::string> arguments, const Console& console) {
  const CommandLine line;
  // CLI11 would say that one is required.
  if (!arguments.empty() && !arguments[0].starts_with('-') && !line.Has(arguments[0])) {
    console.err << "slackerctl: there is no verb \"" << Printable(arguments[0])
                << "\"; \"slackerctl --help\" lists them\n";
    return kExitUsage;
  }
  std::reverse(arguments.begin(), arguments.end());  // the order that CLI11 wants
  try {
    line.app->parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    const int code = line.app->exit(error, console.out, console.err);
    return Flushed(console, code == 0 ? kExitOk : kExitUsage);
  }
  for (const CommandLine::Declared& one : line.verbs) {
    if (one.command->parsed()) return Flushed(console, one.action(console));
  }
  return kExitUsage;  // not reached: one subcommand is required
}

}  // namespace slacker::ctl
