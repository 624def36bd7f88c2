#include <CLI/CLI.hpp>
#include <sstream>
#include <vector>

#include "cmd/reference/command_reference.h"

namespace slacker {
namespace {

// Every option of a command, with its dashes.
std::vector<std::string> Flags(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options({})) {
    for (const std::string& name : option->get_snames()) flags.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

// What an argument without a name may be, if that is a list: CLI11 keeps it as "TYPE:{a,b}" only.
std::vector<std::string> FirstArgumentValues(const CLI::App& app) {
  std::vector<std::string> values;
  for (const CLI::Option* option : app.get_options({})) {
    if (!option->get_positional()) continue;
    const std::string type = option->get_type_name();
    const size_t begin = type.find('{');
    const size_t end = type.find('}');
    if (begin == std::string::npos || end == std::string::npos) return {};
    std::stringstream list(type.substr(begin + 1, end - begin - 1));
    for (std::string value; std::getline(list, value, ',');) values.push_back(value);
    return values;
  }
  return {};
}

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return Join(names);
}

// Within single quotes.
std::string Quoted(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return "'" + out + "'";
}

// In zsh's specifications brackets and colons mean something.
std::string ZshText(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string ZshArguments(const CLI::App& app) {
  std::string text = "_arguments";
  for (const CLI::Option* option : app.get_options({})) {
    const std::string tail = "[" + ZshText(option->get_description()) + "]" +
                             (option->get_items_expected_max() > 0 ? ":value:_files" : "");
    for (const std::string& name : option->get_snames()) text += " " + Quoted("-" + name + tail);
    for (const std::string& name : option->get_lnames()) {
      // '*': may be given again.
      const char* again = option->get_items_expected_max() > 1 ? "*" : "";
      text += " " + Quoted(again + ("--" + name) + tail);
    }
  }
  const std::string values = Join(FirstArgumentValues(app));
  if (!values.empty()) text += " '1:action:(" + values + ")'";
  return text + " '*:argument:_files'";
}

std::string FishOptions(const CLI::App& app, const std::string& program,
                        const std::string& condition) {
  std::string text;
  for (const CLI::Option* option : app.get_options({})) {
    if (option->nonpositional() == false) continue;
    text += "complete -c " + program + condition;
    for (const std::string& name : option->get_snames()) text += " -s " + name;
    for (const std::string& name : option->get_lnames()) text += " -l " + name;
    if (option->get_items_expected_max() > 0) text += " -r";
    text += " -d " + Quoted(option->get_description()) + "\n";
  }
  return text;
}

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  const std::string& name = app.get_name();
  std::string text = "# bash completion for " + name + "\n_" + name + "() {\n" +
                     "  local cur=${COMP_WORDS[COMP_CWORD]} words values\n";
  const std::string commands = CommandNames(app);
  if (commands.empty()) {
    text += "  words=" + Quoted(Join(Flags(app))) + "\n";
  } else {
    text += "  case ${COMP_WORDS[1]} in\n";
    for (const CLI::App* command : app.get_subcommands({})) {
      text += "    " + command->get_name() + ") words=" + Quoted(Join(Flags(*command)));
      const std::string values = Join(FirstArgumentValues(*command));
      if (!values.empty()) text += " values=" + Quoted(values);
      text += " ;;\n";
    }
    text += "    *) words=" + Quoted(Join(Flags(app))) + " ;;\n  esac\n";
    text += "  if [ \"$COMP_CWORD\" = 1 ] && [[ $cur != -* ]]; then\n    COMPREPLY=($(compgen -W " +
            Quoted(commands) + " -- \"$cur\"))\n    return\n  fi\n";
  }
  text += "  if [ \"$COMP_CWORD\" = 2 ] && [ -n \"$values\" ] && [[ $cur != -* ]]; then\n" +
          std::string("    COMPREPLY=($(compgen -W \"$values\" -- \"$cur\"))\n    return\n  fi\n");
  text += "  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")); fi\n}\n";
  return text + "complete -o default -F _" + name + " " + name + "\n";
}

std::string ZshCompletion(const CLI::App& app) {
  const std::string& name = app.get_name();
  std::string text = "#compdef " + name + "\n";
  const std::vector<const CLI::App*> commands = app.get_subcommands({});
  if (commands.empty()) return text + ZshArguments(app) + "\n";
  text += "local -a commands\ncommands=(\n";
  for (const CLI::App* command : commands) {
    text += "  " + Quoted(command->get_name() + ":" + ZshText(command->get_description())) + "\n";
  }
  text += ")\nif (( CURRENT == 2 )); then\n  _describe command commands\n  return\nfi\n";
  text += "case $words[2] in\n";
  for (const CLI::App* command : commands) {
    text += "  " + command->get_name() + ") shift words; (( CURRENT-- )); " +
            ZshArguments(*command) + " ;;\n";
  }
  return text + "esac\n";
}

std::string FishCompletion(const CLI::App& app) {
  const std::string& name = app.get_name();
  const std::vector<const CLI::App*> commands = app.get_subcommands({});
  std::string text = FishOptions(app, name, commands.empty() ? "" : " -n __fish_use_subcommand");
  for (const CLI::App* command : commands) {
    text += "complete -c " + name + " -n __fish_use_subcommand -a " + command->get_name() + " -d " +
            Quoted(command->get_description()) + "\n";
    const std::string condition = " -n '__fish_seen_subcommand_from " + command->get_name() + "'";
    const std::string values = Join(FirstArgumentValues(*command));
    if (!values.empty()) text += "complete -c " + name + condition + " -a " + Quoted(values) + "\n";
    text += FishOptions(*command, name, condition);
  }
  return text;
}

}  // namespace slacker
