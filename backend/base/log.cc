#include "backend/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "backend/base/clock.h"

namespace slacker {
namespace {

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {  // shared: spdlog's own interface
    auto made = std::make_shared<spdlog::logger>("slacker",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::info);
    return made;
  }();
  return *logger;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

const char* LogrusName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

std::string Rfc3339Nano(int64_t nanos) {
  constexpr int64_t kBillion = 1'000'000'000;
  const time_t seconds = nanos / kBillion;
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  const size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:09}Z", std::string_view(text, length), nanos % kBillion);
}

// Empty: lines are JSON.
std::string& ProgramName() {
  static std::string name;
  return name;
}

std::string LineForPeople(LogLevel level, std::string_view message,
                          std::span<const LogField> fields) {
  std::string line = fmt::format("{}: {}: {}", ProgramName(), LogrusName(level), message);
  const char* before = " (";
  for (const auto& [key, value] : fields) {
    line += fmt::format("{}{}: {}", before, key, value);
    before = ", ";
  }
  if (!fields.empty()) line += ')';
  // Text from outside must not steer a terminal.
  for (char& byte : line) {
    if (static_cast<unsigned char>(byte) < ' ' || byte == '\x7f') byte = '?';
  }
  return line;
}

}  // namespace

void LogForPeople(std::string program) { ProgramName() = std::move(program); }

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  Log(level, message, std::span(fields.begin(), fields.size()));
}

void Log(LogLevel level, std::string_view message, std::span<const LogField> fields) {
  if (!Logger().should_log(ToSpdlog(level))) return;
  if (!ProgramName().empty()) {
    Logger().log(ToSpdlog(level), "{}", LineForPeople(level, message, fields));
    return;
  }
  nlohmann::ordered_json line;
  line["level"] = LogrusName(level);
  line["msg"] = message;
  line["time"] = Rfc3339Nano(SystemClock().WallNanos());
  for (const auto& [key, value] : fields) line[std::string(key)] = value;
  Logger().log(ToSpdlog(level), "{}",
               line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void SetLogLevel(LogLevel level) { Logger().set_level(ToSpdlog(level)); }

bool ParseLogLevel(std::string_view text, LogLevel* level) {
  if (text == "debug" || text == "trace") {
    *level = LogLevel::kDebug;
  } else if (text == "info") {
    *level = LogLevel::kInfo;
  } else if (text == "warn" || text == "warning") {
    *level = LogLevel::kWarning;
  } else if (text == "error") {
    *level = LogLevel::kError;
  } else {
    return false;
  }
  return true;
}

}  // namespace slacker
