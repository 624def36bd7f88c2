#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "backend/export/compressor.h"
#include "backend/export/spool.h"

namespace slacker {
namespace {

constexpr size_t kOwnHeaderBytes = 10;  // without a name
// A block of gzip's has at most 32 Ki symbols of, on the average, at most 31 bits: what comes before so
// many bytes does not depend on what the stream goes on with. And the trailer.
constexpr uint64_t kLastBlockBytes = (128 << 10) + 8;

class GzipProgram final : public Compressor {
 public:
  GzipProgram(std::string header, Spool output)
      : header_(std::move(header)), output_(std::move(output)) {}
  GzipProgram(const GzipProgram&) = delete;
  GzipProgram& operator=(const GzipProgram&) = delete;
  ~GzipProgram() override {
    if (pid_ <= 0) return;
    (void)kill(pid_, SIGKILL);
    (void)waitpid(pid_, nullptr, 0);
  }

  absl::Status Start(int level) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      return ErrnoError(errno, "socketpair");
    }
    input_ = UniqueFd(ends[0]);
    const UniqueFd theirs(ends[1]);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, theirs.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output_.fd(), STDOUT_FILENO);
    std::string name = "gzip", header = "-n", option = "-" + std::to_string(level);
    char* argv[] = {name.data(), header.data(), option.data(), nullptr};
    std::string locale = "LC_ALL=C";  // and not $GZIP, which has options
    char* environment[] = {locale.data(), nullptr};
    const int error = posix_spawnp(&pid_, name.c_str(), &actions, nullptr, argv, environment);
    posix_spawn_file_actions_destroy(&actions);
    if (error == 0) return absl::OkStatus();
    pid_ = 0;
    return FailedPrecondition("gzip cannot be started");
  }

  absl::Status Append(std::string_view bytes, const Sink& /*sink*/) override {
    while (!bytes.empty()) {
      const ssize_t sent = send(input_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) return ErrnoError(errno, "write to gzip");
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return absl::OkStatus();
  }

  absl::Status Finish(const Sink& sink) override { return End(0, sink); }
  absl::Status Settle(const Sink& sink) override { return End(kLastBlockBytes, sink); }

 private:
  // Hands out all but the last so many bytes.
  absl::Status End(uint64_t without, const Sink& sink) {
    input_.Reset();
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return Internal("gzip failed");
    RETURN_IF_ERROR(output_.Measure());
    RETURN_IF_ERROR(sink(header_));
    const uint64_t end = output_.size_bytes() - std::min(output_.size_bytes(), without);
    for (uint64_t at = kOwnHeaderBytes; at < end;) {
      ASSIGN_OR_RETURN(const std::string bytes, output_.Read(at));
      RETURN_IF_ERROR(sink(std::string_view(bytes).substr(0, end - at)));
      at += bytes.size();
    }
    return absl::OkStatus();
  }

  const std::string header_;
  Spool output_;
  UniqueFd input_;
  pid_t pid_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Compressor>> OpenGzipProgram(const std::string& header, int level) {
  ASSIGN_OR_RETURN(Spool output, Spool::Open());
  auto program = std::make_unique<GzipProgram>(header, std::move(output));
  RETURN_IF_ERROR(program->Start(level));
  return std::unique_ptr<Compressor>(std::move(program));
}

}  // namespace slacker
