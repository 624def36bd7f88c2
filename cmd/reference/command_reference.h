// Man pages and shell completions from a program's command line as CLI11 knows it: what --help
// says, in other forms. The output depends on the definition alone.
#pragma once

#include <string>

namespace CLI {
class App;
}  // namespace CLI

namespace slacker {

// roff, for man(7). `app` has a name and a description; its footer, and those of its subcommands,
// become text. `section` is "1" or "8".
std::string ManPage(const CLI::App& app, const std::string& section);

// Scripts that complete subcommands and options; other words are files.
std::string BashCompletion(const CLI::App& app);
std::string ZshCompletion(const CLI::App& app);
std::string FishCompletion(const CLI::App& app);

}  // namespace slacker
