#include "cmd/slackerctl/command.h"

#include <CLI/CLI.hpp>
#include <utility>

namespace slacker::ctl {

const Option& Option::Required() const {
  option_->required();
  return *this;
}

const Option& Option::Needs(const Option& other) const {
  option_->needs(other.option_);
  return *this;
}

const Option& Option::Excludes(const Option& other) const {
  option_->excludes(other.option_);
  return *this;
}

const Option& Option::ShowDefault() const {
  option_->capture_default_str();
  return *this;
}

const Option& Option::Between(int64_t least, int64_t most) const {
  option_->check(CLI::Range(least, most));
  return *this;
}

const Option& Option::OneOf(std::vector<std::string> values) const {
  option_->check(CLI::IsMember(std::move(values)));
  return *this;
}

const Option& Option::Checked(const std::string& type,
                              std::function<std::string(const std::string&)> problem) const {
  option_->check(CLI::Validator(std::move(problem), type));
  return *this;
}

const Option& Option::OneByOne() const {
  option_->allow_extra_args(false);
  return *this;
}

Option Command::Add(const std::string& name, std::string* value, const std::string& help) {
  return Option(app_->add_option(name, *value, help));
}

Option Command::Add(const std::string& name, std::vector<std::string>* values,
                    const std::string& help) {
  return Option(app_->add_option(name, *values, help));
}

Option Command::Add(const std::string& name, int* value, const std::string& help) {
  return Option(app_->add_option(name, *value, help));
}

Option Command::Add(const std::string& name, int64_t* value, const std::string& help) {
  return Option(app_->add_option(name, *value, help));
}

Option Command::Add(const std::string& name, uint64_t* value, const std::string& help) {
  return Option(app_->add_option(name, *value, help));
}

Option Command::Flag(const std::string& name, bool* value, const std::string& help) {
  return Option(app_->add_flag(name, *value, help));
}

void Command::Drop(const std::string& name) { app_->remove_option(app_->get_option(name)); }

void Command::SetFooter(const std::string& text) { app_->footer(text); }

void Command::Demand(const std::string& name, const std::string& problem,
                     std::function<bool()> good) {
  app_->callback([name, problem, good = std::move(good)] {
    if (!good()) throw CLI::ValidationError(name, problem);
  });
}

}  // namespace slacker::ctl
