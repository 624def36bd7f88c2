#include <cstdio>
#include <nlohmann/json.hpp>

#include "backend/base/status.h"
#include "cmd/hellobench/run/run.h"

namespace slacker::hellobench {

std::string ToJson(const std::string& name, const Task& task, const absl::Status& status,
                   const RunResult& result) {
  nlohmann::ordered_json json;
  if (!name.empty()) json["name"] = name;
  json.update({
      {"image", task.image},
      {"image_id", result.image_id},
      {"sandbox_id", result.sandbox_id},
      {"container_id", result.container_id},
      {"log_path", result.log_path},
      {"sandbox_ms", result.sandbox_ms},
      {"pull_ms", result.pull_ms},
      {"create_ms", result.create_ms},
      {"ready_ms", result.ready_ms},
      {"total_ms", result.total_ms},
      {"start_ms", result.start_ms},
      {"first_output_ms", result.first_output_ms},
      {"exited", result.exited},
      {"exit_code", result.exit_code},
      {"output", result.output},
  });
  if (!status.ok()) json["error"] = Message(status);
  // Output need not be UTF-8.
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string ToText(const std::string& name, const absl::Status& status, const RunResult& result) {
  const std::string begin = name.empty() ? "" : name + ": ";
  if (!status.ok()) return begin + "failed: " + Message(status);
  char line[160];
  (void)std::snprintf(line, sizeof(line),
                      "pull %.0f ms, create %.0f ms, ready %.0f ms after the start, %.0f ms in all",
                      result.pull_ms, result.create_ms, result.ready_ms, result.total_ms);
  return begin + line;
}

}  // namespace slacker::hellobench
