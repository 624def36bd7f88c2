#include "cmd/hellobench/plan/starts.h"

#include <barrier>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>

#include "backend/base/status.h"
#include "cmd/hellobench/cri/cri_client.h"
#include "cmd/hellobench/run/run.h"

namespace slacker::hellobench {
namespace {

// What a load may take beside its time: filling a database, waiting for connections.
constexpr std::chrono::seconds kLoadSetUp{300};

// Where threads wait for each other. The last one that comes, or gives up coming, does `work` for all.
class Meeting {
 public:
  Meeting(int64_t threads, std::function<absl::Status()> work)
      : work_(std::move(work)), barrier_(threads, Completion{this}) {}

  // Returns what `work` did.
  absl::Status Meet() {
    barrier_.arrive_and_wait();
    return result_;
  }
  // For a thread that will not meet the others.
  void StayAway() { barrier_.arrive_and_drop(); }

 private:
  struct Completion {
    Meeting* meeting;
    void operator()() noexcept { meeting->result_ = meeting->work_(); }
  };

  const std::function<absl::Status()> work_;
  absl::Status result_;
  std::barrier<Completion> barrier_;
};

struct StartedNode {
  std::unique_ptr<Node> node;
  std::optional<Counters> before, after;
  std::unique_ptr<Meeting> ready;  // of the threads of its containers
};

class Starts {
 public:
  Starts(Site& site, const Task& task, const StartOptions& options)
      : site_(site), task_(task), options_(options) {}

  absl::Status MakeNodes(const System& system) {
    for (int64_t number = 0; number < options_.nodes; ++number) {
      StartedNode& started = nodes_.emplace_back();
      ASSIGN_OR_RETURN(started.node, site_.StartNode(system));
    }
    // Elements stay where they are from here on.
    for (StartedNode& node : nodes_) {
      node.ready = std::make_unique<Meeting>(options_.at_once, [&node]() -> absl::Status {
        ASSIGN_OR_RETURN(node.after, node.node->Count());
        return absl::OkStatus();
      });
    }
    return absl::OkStatus();
  }

  void Run(std::vector<Result>* results) {
    Meeting begin(static_cast<int64_t>(results->size()), [this] { return Begin(); });
    std::vector<std::thread> threads;
    for (size_t index = 0; index < results->size(); ++index) {
      StartedNode& node = nodes_[index / static_cast<size_t>(options_.at_once)];
      threads.emplace_back([this, &begin, &node, result = &(*results)[index]] {
        node.node->Enter([&] { RunContainer(begin, node, result); });
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (size_t number = 0; number < nodes_.size(); ++number) {
      const StartedNode& node = nodes_[number];
      if (!node.before.has_value() || !node.after.has_value()) continue;
      SetDifference(*node.before, *node.after, &FirstOf(number, results));
    }
  }

  void DestroyNodes(std::vector<Result>* results) {
    for (size_t number = 0; number < nodes_.size(); ++number) {
      if (nodes_[number].node == nullptr) continue;
      const absl::Status destroyed = nodes_[number].node->Destroy();
      Result& first = FirstOf(number, results);
      if (!destroyed.ok() && first.error.empty()) first.error = "afterwards: " + Message(destroyed);
    }
  }

 private:
  Result& FirstOf(size_t number, std::vector<Result>* results) const {
    return (*results)[number * static_cast<size_t>(options_.at_once)];
  }

  absl::Status CheckInterrupted() const {
    const bool interrupted = options_.interrupted != nullptr && *options_.interrupted;
    return interrupted ? Cancelled("interrupted") : absl::OkStatus();
  }

  // Cold, and counted from here. Each of the first steps writes the machine's dirty pages. What a node's programs
  // and files have in the page cache goes in any case, and the servers' with it: warm ones are read again.
  absl::Status Begin() {
    RETURN_IF_ERROR(CheckInterrupted());
    if (options_.drop_server_cache) RETURN_IF_ERROR(site_.DropServerCaches());
    for (StartedNode& node : nodes_) {
      RETURN_IF_ERROR(CheckInterrupted());
      RETURN_IF_ERROR(node.node->MakeCold());
    }
    if (!options_.drop_server_cache) RETURN_IF_ERROR(site_.WarmServerCaches());
    for (StartedNode& node : nodes_) {
      RETURN_IF_ERROR(node.node->ResetPeaks());
      ASSIGN_OR_RETURN(node.before, node.node->Count());
    }
    return absl::OkStatus();
  }

  void RunContainer(Meeting& begin, StartedNode& node, Result* result) {
    CriClient client(node.node->socket(), options_.call_limit, options_.interrupted);
    bool begun = false, ready = false;
    RunResult first;
    RunOptions run{.interrupted = options_.interrupted,
                   .before_pull =
                       [&] {
                         begun = true;
                         return begin.Meet();
                       },
                   .when_ready = [&]() -> absl::Status {
                     RETURN_IF_ERROR(AwaitReply(node, first, result));
                     ready = true;
                     RETURN_IF_ERROR(node.ready->Meet());
                     return MakeLoad(node, result);
                   }};
    const absl::Status ran = RunOnce(client, task_, run, &first);
    // Others wait for this one; they must not wait for one that does not come.
    if (!begun) begin.StayAway();
    if (!ready) node.ready->StayAway();
    SetPhases(first, &result->phases);
    AddFigures(first.output, &result->figures);
    if (!ran.ok()) {
      result->error = Message(ran);
    } else if (options_.second) {
      RunAgain(client, result);
    }
  }

  bool HasLoad() const { return options_.load.count() > 0 && task_.load.has_value(); }

  // A server may have written that it is ready before it answers, or when it has begun to prepare itself.
  absl::Status AwaitReply(const StartedNode& node, const RunResult& run, Result* result) const {
    if (!HasLoad()) return absl::OkStatus();
    const std::string& script = task_.load->reply;
    if (script.empty() && !std::holds_alternative<ReadyPort>(task_.ready)) return absl::OkStatus();
    std::chrono::duration<double, std::milli> waited{};
    if (!script.empty()) {
      const auto begin = std::chrono::steady_clock::now();
      RETURN_IF_ERROR(
          Annotate(node.node->RunScript(script, kLoadSetUp).status(), "the first reply"));
      waited = std::chrono::steady_clock::now() - begin;
    }
    result->figures.push_back({"first_reply", run.total_ms + waited.count(), "ms"});
    return absl::OkStatus();
  }

  absl::Status MakeLoad(const StartedNode& node, Result* result) const {
    if (!HasLoad()) return absl::OkStatus();
    const std::string script =
        "DURATION=" + std::to_string(options_.load.count()) + "\n" + task_.load->script;
    const auto output = node.node->RunScript(script, options_.load + kLoadSetUp);
    RETURN_IF_ERROR(Annotate(output.status(), "the load"));
    const size_t at = output->find(task_.load->throughput);
    Figure figure{"throughput", 0, task_.load->unit};
    if (at == std::string::npos || std::sscanf(output->c_str() + at + task_.load->throughput.size(),
                                               "%lf", &figure.value) != 1) {
      return Internal("the load did not tell a throughput; it wrote:\n" + *output);
    }
    result->figures.push_back(std::move(figure));
    return absl::OkStatus();
  }

  void RunAgain(CriClient& client, Result* result) const {
    RunResult second;
    const RunOptions run{.pull_if_missing = true, .interrupted = options_.interrupted};
    if (absl::Status ran = RunOnce(client, task_, run, &second); !ran.ok()) {
      result->error = "the second run: " + Message(ran);
      return;
    }
    result->phases.second_ms = second.create_ms + second.ready_ms;
  }

  static void SetPhases(const RunResult& run, Phases* phases) {
    for (const auto& [from, to] :
         {std::pair(run.pull_ms, &phases->pull_ms), std::pair(run.create_ms, &phases->create_ms),
          std::pair(run.ready_ms, &phases->ready_ms), std::pair(run.total_ms, &phases->total_ms)}) {
      if (from > 0) *to = from;
    }
  }

  Site& site_;
  const Task& task_;
  const StartOptions& options_;
  std::vector<StartedNode> nodes_;
};

}  // namespace

std::vector<Result> StartAll(Site& site, const System& system, const Task& task,
                             const StartOptions& options) {
  std::vector<Result> results(static_cast<size_t>(options.nodes * options.at_once));
  for (size_t index = 0; index < results.size(); ++index) {
    results[index].node = static_cast<int64_t>(index) / options.at_once;
    results[index].container = static_cast<int64_t>(index) % options.at_once;
  }
  Starts starts(site, task, options);
  if (absl::Status made = starts.MakeNodes(system); !made.ok()) {
    for (Result& result : results) result.error = "a node did not start: " + Message(made);
  } else {
    starts.Run(&results);
  }
  starts.DestroyNodes(&results);
  return results;
}

}  // namespace slacker::hellobench
