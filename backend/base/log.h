// Structured logging: a message and fields. Library code returns errors and logs at DEBUG only
// (plus WARN ending in "…, ignoring"); cmd/ and snapshotter/service log what is worth an operator's
// attention.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace slacker {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogField = std::pair<std::string_view, std::string>;

// Writes lines in logrus' JSON shape to standard error:
//   {"level":"info","msg":"…","time":"2026-01-02T03:04:05.678901234Z","key":"…"}
// Values that are not UTF-8 are written with U+FFFD in place of the bad bytes. Thread-safe.
void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});
void Log(LogLevel level, std::string_view message, std::span<const LogField> fields);

// From now on lines are for people ("": JSON again): "PROGRAM: warning: … (key: value, …)". REQUIRES: no other thread logs yet.
void LogForPeople(std::string program);

// Lines below `level` are dropped; the default is kInfo.
void SetLogLevel(LogLevel level);
// "trace" or "debug", "info", "warn" or "warning", "error"; false for anything else.
bool ParseLogLevel(std::string_view text, LogLevel* level);

}  // namespace slacker
