// The options of a verb. CLI11 parses them; its headers, three seconds of compiling for each file that
// includes them, stay behind this one.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace slacker::ctl {

// What is said of an option when it is declared. A handle: the command owns the option.
class Option {
 public:
  const Option& Required() const;
  const Option& Needs(const Option& other) const;
  const Option& Excludes(const Option& other) const;
  // --help shows what the variable holds now.
  const Option& ShowDefault() const;
  const Option& Between(int64_t least, int64_t most) const;
  const Option& OneOf(std::vector<std::string> values) const;
  // `problem` returns what is wrong with a value, or nothing; `type` is what --help calls it.
  const Option& Checked(const std::string& type,
                        std::function<std::string(const std::string&)> problem) const;
  // Of a list: each use takes one value, and what follows it is the next argument.
  const Option& OneByOne() const;

 private:
  friend class Command;
  explicit Option(CLI::Option* option) : option_(option) {}
  CLI::Option* option_;
};

// A verb's command while its options are declared. What they are parsed into must live as long as the
// command line.
class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}

  // `name`: "--name", "-n,--name", or "NAME" for a positional argument.
  Option Add(const std::string& name, std::string* value, const std::string& help);
  Option Add(const std::string& name, std::vector<std::string>* values, const std::string& help);
  Option Add(const std::string& name, int* value, const std::string& help);
  Option Add(const std::string& name, int64_t* value, const std::string& help);
  Option Add(const std::string& name, uint64_t* value, const std::string& help);
  Option Flag(const std::string& name, bool* value, const std::string& help);
  // Takes back an option that was declared for many verbs.
  void Drop(const std::string& name);

  // Stands below the options in --help.
  void SetFooter(const std::string& text);
  // A usage error, "<name>: <problem>", unless `good` says yes once all is parsed. One for a command.
  void Demand(const std::string& name, const std::string& problem, std::function<bool()> good);

 private:
  CLI::App* app_;
};

}  // namespace slacker::ctl
