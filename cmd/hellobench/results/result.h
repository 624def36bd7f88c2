// One run of a measurement, as a line of results.jsonl: everything that is needed to report it again.
//
// A line stands for itself: files of several measurements can be put after each other. docs/hellobench.md
// describes every field; a reader ignores fields that it does not know, and refuses a schema that it does
// not know. What was not measured is absent, never 0. A run that failed has an error and what it reached.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker::hellobench {

// What is written. Those from the oldest on are read, but never together: fields do not mean the same in
// two of them.
inline constexpr int64_t kResultSchema = 2, kOldestResultSchema = 1;

// Where it ran.
struct Machine {
  std::string cpu;
  std::string kernel;
  std::string os;
  int64_t cpus = 0;
  int64_t memory_bytes = 0;
  bool operator==(const Machine&) const = default;
};

// What all runs of one measurement have in common.
struct Session {
  std::string id;                    // unique to it
  std::vector<std::string> command;  // hellobench's, to repeat it
  uint64_t seed = 0;                 // of the order of its runs
  Machine machine;
  std::map<std::string, std::string> versions;  // by program
  bool operator==(const Session&) const = default;
};

// What was run. Runs that are equal in this are repetitions of each other.
struct Setup {
  std::string scenario;     // "start", or another of hellobench's
  std::string image;        // its name in the catalogue
  std::string category;     // as the catalogue names it
  std::string kind;         // E, A, S, W, P
  std::string snapshotter;  // its name among the snapshotters
  std::string
      store;  // what it reads from beside the registry: "loopback", "nfs", "https"; "" if nothing
  std::string link;          // between servers and nodes: "loopback", "1gbit", …
  std::string server_cache;  // "warm", "dropped": the servers' page cache when the run began
  int64_t nodes = 1;         // at once
  int64_t at_once = 1;       // containers on each node, at once
  auto operator<=>(const Setup&) const = default;
};

struct Phases {
  std::optional<double>
      prepare_ms;  // a push, conversion or publication; once for an image, not for each run
  std::optional<double> pull_ms;
  std::optional<double> create_ms;
  std::optional<double> ready_ms;  // from the start of the container until it is ready
  std::optional<double> total_ms;  // from the pull's beginning until it is ready
  std::optional<double>
      second_ms;  // create and start again, on the node that has run it, until it is ready
  bool operator==(const Phases&) const = default;
};

// From the pull's beginning until the container was ready, headers and all where a node's interface counts.
struct Traffic {
  std::optional<int64_t> received_bytes;  // by the node
  std::optional<int64_t> sent_bytes;
  std::optional<int64_t> registry_bytes;  // sent by it, as it counts them
  std::optional<int64_t> registry_requests;
  std::optional<int64_t> store_bytes;
  std::optional<int64_t> store_requests;
  bool operator==(const Traffic&) const = default;
};

// A program of the node, containerd or a snapshotter's, all of its processes together.
struct DaemonUse {
  std::string name;
  double cpu_seconds = 0;  // from the pull until it is seen to be ready
  int64_t peak_rss_bytes = 0;
  bool operator==(const DaemonUse&) const = default;
};

// What a scenario measures beside all that: a throughput, a size.
struct Figure {
  std::string name;
  double value = 0;
  std::string unit;
  bool operator==(const Figure&) const = default;
};

struct Result {
  int64_t schema = kResultSchema;
  Session session;
  Setup setup;
  std::string time;         // RFC 3339, UTC: when the run began
  int64_t position = 0;     // among the session's runs, from 0
  int64_t repetition = 0;   // from 0
  int64_t node = 0;         // which of the nodes, from 0
  int64_t container = 0;    // which of those that start at once on it, from 0
  int64_t image_bytes = 0;  // compressed layers of what was pulled
  int64_t image_layers = 0;
  std::string error;  // "": it got there
  Phases phases;
  Traffic traffic;
  std::optional<int64_t>
      disk_bytes;  // used on the node by the image and the container, until it was ready
  std::vector<DaemonUse> daemons;
  std::vector<Figure> figures;
  bool operator==(const Result&) const = default;
};

// Adds those of lines "hellobench-figure NAME VALUE UNIT"; others are the business of who wrote them.
void AddFigures(const std::string& output, std::vector<Figure>* figures);

// One line, without its end. Text that is not UTF-8 has replacement characters.
std::string ToLine(const Result& result);
// INVALID_ARGUMENT for what is no such line, with the field that is missing or wrong.
absl::StatusOr<Result> ParseResult(std::string_view line);
// A whole file; empty lines are passed over. INVALID_ARGUMENT with file and line; errors of reading.
absl::StatusOr<std::vector<Result>> ReadResults(const std::string& path);
// FAILED_PRECONDITION if not all are of the first one's schema.
absl::Status CheckOneSchema(const std::vector<Result>& results);

}  // namespace slacker::hellobench
