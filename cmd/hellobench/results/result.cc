#include "cmd/hellobench/results/result.h"

#include <cerrno>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "backend/base/status.h"

namespace slacker::hellobench {
namespace {

using Json = nlohmann::ordered_json;

// What a structure consists of, said once for both directions: a visitor writes or reads a field.
template <typename Visitor>
void Fields(Visitor& visit, Machine& machine) {
  visit("cpu", machine.cpu);
  visit("cpus", machine.cpus);
  visit("memory_bytes", machine.memory_bytes);
  visit("kernel", machine.kernel);
  visit("os", machine.os);
}

template <typename Visitor>
void Fields(Visitor& visit, Session& session) {
  visit("id", session.id);
  visit("command", session.command);
  visit("seed", session.seed);
  visit("machine", session.machine);
  visit("versions", session.versions);
}

template <typename Visitor>
void Fields(Visitor& visit, Setup& setup) {
  visit("scenario", setup.scenario);
  visit("image", setup.image);
  visit("category", setup.category);
  visit("kind", setup.kind);
  visit("snapshotter", setup.snapshotter);
  visit("store", setup.store);
  visit("link", setup.link);
  visit("server_cache", setup.server_cache);
  visit("nodes", setup.nodes);
  visit("at_once", setup.at_once);
}

template <typename Visitor>
void Fields(Visitor& visit, Phases& phases) {
  visit("prepare_ms", phases.prepare_ms);
  visit("pull_ms", phases.pull_ms);
  visit("create_ms", phases.create_ms);
  visit("ready_ms", phases.ready_ms);
  visit("total_ms", phases.total_ms);
  visit("second_ms", phases.second_ms);
}

template <typename Visitor>
void Fields(Visitor& visit, Traffic& traffic) {
  visit("received_bytes", traffic.received_bytes);
  visit("sent_bytes", traffic.sent_bytes);
  visit("registry_bytes", traffic.registry_bytes);
  visit("registry_requests", traffic.registry_requests);
  visit("store_bytes", traffic.store_bytes);
  visit("store_requests", traffic.store_requests);
}

template <typename Visitor>
void Fields(Visitor& visit, DaemonUse& daemon) {
  visit("name", daemon.name);
  visit("cpu_seconds", daemon.cpu_seconds);
  visit("peak_rss_bytes", daemon.peak_rss_bytes);
}

template <typename Visitor>
void Fields(Visitor& visit, Figure& figure) {
  visit("name", figure.name);
  visit("value", figure.value);
  visit("unit", figure.unit);
}

template <typename Visitor>
void Fields(Visitor& visit, Result& result) {
  visit("session", result.session);
  visit("setup", result.setup);
  visit("time", result.time);
  visit("position", result.position);
  visit("repetition", result.repetition);
  visit("node", result.node);
  visit("container", result.container);
  visit("image_bytes", result.image_bytes);
  visit("image_layers", result.image_layers);
  visit("error", result.error);
  visit("phases", result.phases);
  visit("traffic", result.traffic);
  visit("disk_bytes", result.disk_bytes);
  visit("daemons", result.daemons);
  visit("figures", result.figures);
}

struct Writer {
  Json json = Json::object();

  template <typename Value>
  static Json Of(Value& value) {
    if constexpr (requires(Writer & writer) { Fields(writer, value); }) {
      Writer inner;
      Fields(inner, value);
      return std::move(inner.json);
    } else {
      return value;
    }
  }
  template <typename Value>
  static Json Of(std::vector<Value>& values) {
    Json array = Json::array();
    for (Value& value : values) array.push_back(Of(value));
    return array;
  }

  template <typename Value>
  void operator()(const char* name, std::optional<Value>& value) {
    if (value.has_value()) json[name] = *value;
  }
  template <typename Value>
  void operator()(const char* name, Value& value) {
    json[name] = Of(value);
  }
};

// Reads what `json` has; the first thing that is wrong ends up in `error`, with the way to it.
struct Reader {
  const Json& json;
  std::string path;
  std::string& error;

  void Wrong(const std::string& name, const char* what) {
    if (error.empty()) error = path + name + ": " + what;
  }

  static bool Is(const Json& json, const std::string&) { return json.is_string(); }
  // What is too large for a sign has a type of its own.
  static bool Is(const Json& json, int64_t) {
    return json.is_number_integer() &&
           (!json.is_number_unsigned() ||
            json.get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()});
  }
  static bool Is(const Json& json, uint64_t) { return json.is_number_unsigned(); }
  static bool Is(const Json& json, double) { return json.is_number(); }

  void Read(const Json& from, const std::string& name, std::map<std::string, std::string>& value) {
    if (!from.is_object()) return Wrong(name, "must be an object");
    for (const auto& [key, text] : from.items()) Read(text, name + "." + key, value[key]);
  }
  template <typename Value>
  void Read(const Json& from, const std::string& name, std::vector<Value>& values) {
    if (!from.is_array()) return Wrong(name, "must be an array");
    for (const Json& element : from) Read(element, name, values.emplace_back());
  }
  template <typename Value>
  void Read(const Json& from, const std::string& name, Value& value) {
    if constexpr (requires(Reader & reader) { Fields(reader, value); }) {
      if (!from.is_object()) return Wrong(name, "must be an object");
      Reader inner{from, path + name + ".", error};
      Fields(inner, value);
    } else {
      if (!Is(from, value)) return Wrong(name, "is of another type");
      value = from.get<Value>();
    }
  }

  template <typename Value>
  void operator()(const char* name, std::optional<Value>& value) {
    if (json.contains(name)) Read(json[name], name, value.emplace());
  }
  template <typename Value>
  void operator()(const char* name, Value& value) {
    if (!json.contains(name)) return Wrong(name, "is missing");
    Read(json[name], name, value);
  }
};

// -1 where there is none.
int64_t SchemaOf(const Json& json) {
  const auto found = json.find("schema");
  const bool has = found != json.end() && Reader::Is(*found, int64_t{});
  return has ? found->get<int64_t>() : -1;
}

}  // namespace

void AddFigures(const std::string& output, std::vector<Figure>* figures) {
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string mark;
    Figure figure;
    if (words >> mark >> figure.name >> figure.value >> figure.unit &&
        mark == "hellobench-figure") {
      figures->push_back(std::move(figure));
    }
  }
}

std::string ToLine(const Result& result) {
  Writer writer;
  writer.json["schema"] = result.schema;
  Result copy = result;  // visitors take what they visit as they could change it
  Fields(writer, copy);
  return writer.json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<Result> ParseResult(std::string_view line) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return InvalidArgument("is no JSON object");
  Result result;
  result.schema = SchemaOf(json);
  if (result.schema < kOldestResultSchema || result.schema > kResultSchema) {
    return InvalidArgument("is not of schema " + std::to_string(kOldestResultSchema) + " to " +
                           std::to_string(kResultSchema));
  }
  std::string error;
  Reader reader{json, "", error};
  Fields(reader, result);
  if (!error.empty()) return InvalidArgument(error);
  return result;
}

absl::StatusOr<std::vector<Result>> ReadResults(const std::string& path) {
  std::ifstream file(path);
  if (!file) return ErrnoError(errno, "open " + path);
  std::vector<Result> results;
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    absl::StatusOr<Result> result = ParseResult(line);
    if (!result.ok()) return Annotate(result.status(), path + ":" + std::to_string(number));
    results.push_back(*std::move(result));
  }
  if (file.bad()) return ErrnoError(errno, "read " + path);
  return results;
}

absl::Status CheckOneSchema(const std::vector<Result>& results) {
  for (const Result& result : results) {
    const int64_t first = results.front().schema;
    if (result.schema == first) continue;
    return FailedPrecondition("these are results of schema " + std::to_string(first) +
                              " and of schema " + std::to_string(result.schema) +
                              ", whose times do not mean the same (docs/hellobench.md): "
                              "put those of one schema together");
  }
  return absl::OkStatus();
}

}  // namespace slacker::hellobench
