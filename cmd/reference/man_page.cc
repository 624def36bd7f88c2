#include <CLI/CLI.hpp>
#include <algorithm>
#include <vector>

#include "cmd/reference/command_reference.h"

namespace slacker {
namespace {

// Text in which roff sees no requests and no escapes, and hyphens are those of the keyboard.
std::string Text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if (c == '\'') {
      out += "\\(aq";
    } else {
      if (c == '.' && (out.empty() || out.back() == '\n')) out += "\\&";
      out += c;
    }
  }
  return out;
}

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

// CLI11 puts what a check says behind the type ("UINT:BYTES"): that tells more.
std::string TypeText(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t colon = type.find(':');
  return colon == std::string::npos ? type : type.substr(colon + 1);
}

bool TakesValue(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

// "IMAGE", "[PATH]", "SOURCE...".
std::string PositionalText(const CLI::Option& option) {
  std::string text = "\\fI" + Text(option.get_name(true)) + "\\fR";
  if (option.get_items_expected_max() > 1) text += "...";
  return option.get_required() ? text : "[" + text + "]";
}

std::string Synopsis(const CLI::App& app, const std::string& name) {
  std::string text = "\\fB" + Text(name) + "\\fR [\\fIoptions\\fR]";
  for (const CLI::Option* option : app.get_options({})) {
    if (option->get_positional()) text += " " + PositionalText(*option);
  }
  return text;
}

// A paragraph for each option that has a name with dashes.
std::string Options(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : app.get_options({})) {
    const bool positional = !option->nonpositional();
    std::string names;
    if (positional) {
      names = "\\fI" + Text(option->get_name(true)) + "\\fR";
    } else {
      for (const std::string& name : option->get_snames()) {
        names += (names.empty() ? "" : ", ") + ("\\fB\\-" + Text(name) + "\\fR");
      }
      for (const std::string& name : option->get_lnames()) {
        names += (names.empty() ? "" : ", ") + ("\\fB\\-\\-" + Text(name) + "\\fR");
      }
      if (TakesValue(*option)) names += " \\fI" + Text(TypeText(*option)) + "\\fR";
    }
    text += ".TP\n" + names + "\n" + Text(option->get_description());
    if (!option->get_default_str().empty()) {
      text += " (default: " + Text(option->get_default_str()) + ")";
    }
    text += "\n";
  }
  return text;
}

}  // namespace

std::string ManPage(const CLI::App& app, const std::string& section) {
  const std::string& name = app.get_name();
  std::string page =
      ".TH " + Upper(name) + " " + section + " \"\" \"slacker " SLACKER_VERSION "\" \"Slacker\"\n";
  page += ".SH NAME\n" + Text(name) + " \\- " + Text(app.get_description()) + "\n.SH SYNOPSIS\n";
  const std::vector<const CLI::App*> commands = app.get_subcommands({});
  if (commands.empty()) page += Synopsis(app, name) + "\n";
  for (size_t i = 0; i < commands.size(); ++i) {
    if (i > 0) page += ".br\n";
    page += Synopsis(*commands[i], name + " " + commands[i]->get_name()) + "\n";
  }
  page += ".SH OPTIONS\n" + Options(app);
  if (!commands.empty()) page += ".SH COMMANDS\n";
  for (const CLI::App* command : commands) {
    page += ".SS " + Text(command->get_name()) + "\n" + Text(command->get_description()) + ".\n";
    page += Options(*command);
    if (!command->get_footer().empty()) page += ".PP\n" + Text(command->get_footer()) + "\n";
  }
  if (!app.get_footer().empty()) page += ".SH NOTES\n" + Text(app.get_footer()) + "\n";
  return page;
}

}  // namespace slacker
