#include "backend/source/start_command.h"

#include <nlohmann/json.hpp>

#include "backend/base/status.h"

namespace slacker {
namespace {

using Json = nlohmann::json;

std::vector<std::string> Strings(const Json& object, const char* name) {
  std::vector<std::string> values;
  const auto list = object.find(name);
  if (list == object.end() || !list->is_array()) return values;
  for (const Json& item : *list) {
    if (item.is_string()) values.push_back(item.get<std::string>());
  }
  return values;
}

}  // namespace

absl::StatusOr<StartCommand> ParseStartCommand(std::string_view config_json) {
  const Json json = Json::parse(config_json, nullptr, false);
  if (!json.is_object()) return InvalidArgument("the image configuration is not a JSON object");
  StartCommand command;
  const auto config = json.find("config");
  if (config == json.end() || !config->is_object()) return command;
  command.entrypoint = Strings(*config, "Entrypoint");
  command.command = Strings(*config, "Cmd");
  command.environment = Strings(*config, "Env");
  if (const auto directory = config->find("WorkingDir");
      directory != config->end() && directory->is_string()) {
    command.working_directory = directory->get<std::string>();
  }
  return command;
}

}  // namespace slacker
