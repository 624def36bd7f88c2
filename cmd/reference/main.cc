// slacker-reference DIRECTORY: writes the man pages and completions of all programs below a share/
// directory. Part of the build; not installed.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "cmd/hellobench/arguments.h"
#include "cmd/reference/command_reference.h"
#include "cmd/slackerctl/command_line.h"
#include "cmd/slackerd/flags.h"

namespace {

bool Write(const std::filesystem::path& path, const std::string& text) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  std::ofstream file(path);
  file << text;
  file.close();
  if (file.good()) return true;
  std::fprintf(stderr, "slacker-reference: cannot write %s\n", path.c_str());
  return false;
}

bool WriteAll(const std::filesystem::path& share, const CLI::App& app, const std::string& section) {
  const std::string& name = app.get_name();
  return Write(share / "man" / ("man" + section) / (name + "." + section),
               slacker::ManPage(app, section)) &&
         Write(share / "bash-completion/completions" / name, slacker::BashCompletion(app)) &&
         Write(share / "zsh/vendor-completions" / ("_" + name), slacker::ZshCompletion(app)) &&
         Write(share / "fish/vendor_completions.d" / (name + ".fish"),
               slacker::FishCompletion(app));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("slacker-reference DIRECTORY\n", stderr);
    return 2;
  }
  const std::filesystem::path share = argv[1];
  const slacker::ctl::CommandLine slackerctl;
  const slacker::Flags slackerd;
  const slacker::hellobench::CommandLine hellobench;
  const bool written = WriteAll(share, *slackerctl.app, "1") &&
                       WriteAll(share, *slackerd.app, "8") && WriteAll(share, *hellobench.app, "1");
  return written ? 0 : 1;
}
