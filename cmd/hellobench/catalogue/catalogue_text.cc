#include <algorithm>
#include <nlohmann/json.hpp>

#include "cmd/hellobench/catalogue/catalogue.h"

namespace slacker::hellobench {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const Ready& ready) {
  if (const auto* line = std::get_if<ReadyLine>(&ready)) return {{"line", line->text}};
  if (const auto* port = std::get_if<ReadyPort>(&ready)) {
    return {{"port", port->port}, {"path", port->path}};
  }
  return {{"exit_code", 0}};
}

Json ToJson(const Image& image) {
  Json json = {{"name", image.name},
               {"category", NameOf(image.category)},
               {"kind", NameOf(image.kind)},
               {"image", image.task.image}};
  if (!image.original.empty()) {
    json["original"] = image.original;
    json["note"] = image.note;
  }
  json["command"] = image.task.command;
  json["arguments"] = image.task.arguments;
  json["environment"] = image.task.environment;
  json["mounts"] = image.task.mounts;
  json["ready"] = ToJson(image.task.ready);
  json["time_limit_seconds"] = image.task.time_limit_seconds;
  if (const auto& load = image.task.load; load.has_value()) {
    json["load"] = {
        {"script", load->script}, {"throughput", load->throughput}, {"unit", load->unit}};
    if (!load->reply.empty()) json["load"]["reply"] = load->reply;
  }
  return json;
}

}  // namespace

std::string ToJson(const std::vector<Image>& images) {
  Json json = Json::array();
  for (const Image& image : images) json.push_back(ToJson(image));
  return json.dump(2);
}

std::string ToText(const std::vector<Image>& images) {
  size_t name = 0;
  size_t category = 0;
  for (const Image& image : images) {
    name = std::max(name, image.name.size());
    category = std::max(category, NameOf(image.category).size());
  }
  const auto padded = [](std::string_view text, size_t width) {
    return std::string(text) + std::string(width + 2 - text.size(), ' ');
  };
  std::string text;
  for (const Image& image : images) {
    text += padded(image.name, name) + padded(NameOf(image.category), category) +
            padded(NameOf(image.kind), 1) + image.task.image + "\n";
  }
  return text;
}

}  // namespace slacker::hellobench
