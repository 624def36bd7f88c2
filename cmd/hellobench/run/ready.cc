#include "cmd/hellobench/run/ready.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "backend/base/status.h"
#include "cmd/hellobench/cri/cri_log.h"
#include "cmd/hellobench/run/http_probe.h"

namespace slacker::hellobench {
namespace {

using Clock = std::chrono::steady_clock;
using Millis = std::chrono::milliseconds;

// CRI has no way to be told of an end that every containerd knows, so it is asked for: seldom, because
// every question takes a millisecond of a processor that the container may want. When it was is in
// the answer.
constexpr Millis kStateInterval{20};
constexpr Millis kHttpInterval{10};  // as in HelloBench
constexpr size_t kShownBytes = 4096;

class Wait {
 public:
  Wait(CriClient& client, const Task& task, Clock::time_point started, RunResult* result)
      : client_(client),
        ready_(task.ready),
        limit_(std::chrono::seconds(task.time_limit_seconds)),
        started_(started),
        result_(*result),
        log_(result->log_path) {
    if (const auto* port = std::get_if<ReadyPort>(&ready_)) probe_.emplace(port->port, port->path);
  }

  const std::string& text() const { return log_.text(); }
  // What was waited for is there.
  Clock::time_point reached_at() const {
    const auto now = Clock::now();
    if (!std::holds_alternative<ReadyExit>(ready_) ||
        finished_at_ == std::chrono::system_clock::time_point()) {
      return now;
    }
    const auto ago = std::chrono::system_clock::now() - finished_at_;
    // A clock that was set meanwhile tells nothing else than that it was between the two.
    return std::clamp(now - std::chrono::duration_cast<Clock::duration>(ago), started_, now);
  }

  absl::Status Until(const std::atomic<bool>* interrupted) {
    Clock::time_point asked;
    while (true) {
      // The state before the log: what is read after an end is everything.
      if (Clock::now() - asked >= kStateInterval) {
        asked = Clock::now();
        RETURN_IF_ERROR(ReadState());
      }
      RETURN_IF_ERROR(ReadLog());
      ASSIGN_OR_RETURN(const bool ready, IsReady());
      if (ready) return absl::OkStatus();
      if (result_.exited) return Ended();
      if (Clock::now() - started_ > limit_) {
        return DeadlineExceeded("the container was not ready within " +
                                std::to_string(limit_.count()) + " s" + Written());
      }
      if (interrupted != nullptr && *interrupted) return Cancelled("interrupted");
      if (!probe_.has_value()) log_.WaitForChange(kStateInterval);
    }
  }

 private:
  absl::Status ReadState() {
    ASSIGN_OR_RETURN(const ContainerStatus status, client_.Status(result_.container_id));
    result_.exited = status.state == ContainerState::kExited;
    result_.exit_code = status.exit_code;
    finished_at_ = status.finished_at;
    reason_ = status.message;
    return absl::OkStatus();
  }

  absl::Status ReadLog() {
    RETURN_IF_ERROR(log_.Read());
    if (result_.first_output_ms == 0 && !log_.text().empty()) {
      result_.first_output_ms =
          result_.start_ms +
          std::chrono::duration<double, std::milli>(Clock::now() - started_).count();
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> IsReady() {
    if (const auto* exit = std::get_if<ReadyExit>(&ready_)) {
      return result_.exited && (exit->any_code || result_.exit_code == 0);
    }
    if (const auto* line = std::get_if<ReadyLine>(&ready_)) return HasText(line->text);
    if (result_.exited) return false;
    const Clock::time_point asked = Clock::now();
    ASSIGN_OR_RETURN(const bool answered, probe_->Poll(kHttpInterval));
    const auto rest = std::chrono::floor<Millis>(asked + kHttpInterval - Clock::now());
    if (!answered && rest > Millis(0)) log_.WaitForChange(rest);
    return answered;
  }

  bool HasText(const std::string& text) {
    if (text.empty()) return !log_.text().empty() || result_.exited;
    // What was searched before, but for the beginning of a text that goes on.
    const size_t from = searched_ - std::min(searched_, text.size() - 1);
    searched_ = log_.text().size();
    return log_.text().find(text, from) != std::string::npos;
  }

  absl::Status Ended() const {
    return FailedPrecondition(
        "the container ended with code " + std::to_string(result_.exit_code) + " (" + reason_ +
        ")" + (std::holds_alternative<ReadyExit>(ready_) ? "" : " before it was ready") +
        Written());
  }

  std::string Written() const {
    const std::string& text = log_.text();
    if (text.empty()) return "; it wrote nothing";
    const bool all = text.size() <= kShownBytes;
    return std::string(all ? "; it wrote:\n" : "; the end of what it wrote:\n") +
           text.substr(all ? 0 : text.size() - kShownBytes);
  }

  CriClient& client_;
  const Ready& ready_;
  const std::chrono::seconds limit_;
  const Clock::time_point started_;
  RunResult& result_;
  CriLogFollower log_;
  std::optional<HttpProbe> probe_;
  size_t searched_ = 0;
  std::chrono::system_clock::time_point finished_at_;
  std::string reason_;
};

}  // namespace

absl::StatusOr<Clock::time_point> AwaitReady(CriClient& client, const Task& task,
                                             const RunOptions& options, Clock::time_point started,
                                             RunResult* result) {
  Wait wait(client, task, started, result);
  const absl::Status status = wait.Until(options.interrupted);
  result->output = wait.text();
  RETURN_IF_ERROR(status);
  return wait.reached_at();
}

}  // namespace slacker::hellobench
