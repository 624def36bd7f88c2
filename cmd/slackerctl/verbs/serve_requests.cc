#include "cmd/slackerctl/verbs/serve_requests.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ostream>
#include <set>

#include "backend/base/clock.h"
#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/base/unique_fd.h"
#include "backend/publish/request_server.h"
#include "backend/publish/trace_publisher.h"
#include "cmd/common/store_url.h"
#include "cmd/slackerctl/verb.h"

namespace slacker::ctl {
namespace {

constexpr int kPauseMs = 5000;
// containerd names an image only when it has unpacked it: soon after its top layer was asked for.
constexpr int64_t kNodeFirstPauseSeconds = 5;

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// Tells when to stop. One thread at a time.
class StopSwitch {
 public:
  // `watched`: a descriptor whose hang-up stops, too; -1: none.
  static absl::StatusOr<StopSwitch> Open(int watched) {
    const sigset_t signals = StopSignals();
    UniqueFd fd(signalfd(-1, &signals, SFD_CLOEXEC));
    if (!fd.valid()) return ErrnoError(errno, "signalfd");
    return StopSwitch(std::move(fd), watched);
  }
  // True, from then on, once it has been told to, within `timeout_ms`.
  bool Wait(int timeout_ms) {
    if (stopped_) return true;
    pollfd fds[] = {{signals_.get(), POLLIN, 0}, {watched_, 0, 0}};
    stopped_ = poll(fds, 2, timeout_ms) > 0;
    return stopped_;
  }

 private:
  StopSwitch(UniqueFd signals, int watched) : signals_(std::move(signals)), watched_(watched) {}

  UniqueFd signals_;
  int watched_;
  bool stopped_ = false;
};

void PrintResult(const StoredRequest& stored, const absl::StatusOr<ServedRequest>& result,
                 const Console& console) {
  if (!stored.request.ok()) {
    console.err << (absl::IsDataLoss(result.status()) ? "removed " : "cannot serve ")
                << Printable(stored.name) << ": " << Printable(Message(result.status()))
                << std::endl;
    return;
  }
  const std::string what = Printable(stored.request->reference) + " (" +
                           Printable(FormatPlatform(stored.request->platform)) + ", " +
                           stored.request->chain_id.ToString() + ")";
  if (result.ok()) {
    const bool now = *result == ServedRequest::kPublished;
    console.out << (now ? "published " : "was published before: ") << what << std::endl;
  } else {
    console.err << "cannot publish " << what << ": " << Printable(Message(result.status()))
                << std::endl;
  }
}

void LogResult(const StoredRequest& stored, const absl::StatusOr<ServedRequest>& result) {
  const std::string image = stored.request.ok() ? stored.request->reference : stored.name;
  if (result.ok()) {
    Log(LogLevel::kInfo,
        *result == ServedRequest::kPublished ? "published by itself" : "was published already",
        {{"image", image}, {"chain", stored.request->chain_id.ToString()}});
  } else {
    Log(LogLevel::kWarning, "an image cannot be published by itself, ignoring",
        {{"image", image}, {"error", Message(result.status())}});
  }
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenOfNode(const PublishRequest& request,
                                                        SourceOptions options) {
  if (!request.name_space.empty()) options.containerd.name_space = request.name_space;
  auto source = OpenImageSource("containerd:" + request.reference, options);
  if (absl::IsNotFound(source.status())) {
    return Unavailable(Message(source.status()) + " (yet)");
  }
  return source;
}

absl::Status MergeTraces(const std::shared_ptr<Backend>& store, const PublishOptions& options,
                         std::set<std::string>* told, const Console& console) {
  Trust trust;
  trust.keys = options.store.trusted_keys;
  if (options.store.key.has_value()) trust.keys.push_back(options.store.key->public_key());
  const SigningKey* key = options.store.key.has_value() ? &*options.store.key : nullptr;
  const std::vector<std::string> none;
  return PublishAllTraces(
      store, trust, key, [&](const Digest& chain_id, const absl::StatusOr<MergedTraces>& result) {
        for (const std::string& name : result.ok() ? result->unreadable : none) {
          if (!told->insert(name).second) continue;
          console.err << "cannot read the trace " << Printable(name) << ", ignoring" << std::endl;
        }
        if (!result.ok()) {
          console.err << "cannot use the traces of " << chain_id.ToString() << ": "
                      << Printable(Message(result.status())) << std::endl;
        } else if (result->taken > 0) {
          console.out << "made the boot pack of " << chain_id.ToString() << " of "
                      << Counted(result->merged.starts, "start") << std::endl;
        }
      });
}

}  // namespace

void BlockStopSignals() {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

int ServeRequests(const std::shared_ptr<Backend>& store, const PublishOptions& options,
                  const SourceOptions& source_options, const Console& console) {
  absl::StatusOr<StopSwitch> stop = StopSwitch::Open(-1);
  if (!stop.ok()) {
    PrintError(console.err, stop.status());
    return kExitFailed;
  }
  RequestServer server(
      {.store = store,
       .requests = store,
       .publish = options,
       .open =
           [&source_options](const PublishRequest& request) {
             return OpenImageSource("docker://" + request.reference, source_options);
           },
       .clock = &SystemClock(),
       .on_result =
           [&console](const StoredRequest& stored, const absl::StatusOr<ServedRequest>& result) {
             PrintResult(stored, result, console);
           },
       .stopping = [&stop] { return stop->Wait(0); }});
  std::string told;
  std::set<std::string> told_traces;  // that cannot be read
  do {
    absl::Status status = server.ServeOnce().status();
    if (status.ok()) status = MergeTraces(store, options, &told_traces, console);
    if (!status.ok() && told != Message(status)) PrintError(console.err, status);
    told = Message(status);
  } while (!stop->Wait(kPauseMs));
  return kExitOk;
}

int ServeNode(const std::string& root, const std::shared_ptr<Backend>& store,
              const PublishOptions& options, const SourceOptions& source_options,
              const Console& console) {
  absl::StatusOr<StopSwitch> stop = StopSwitch::Open(STDIN_FILENO);
  const auto requests = OpenExistingBackend("loopback:" + root + "/publish");
  for (const absl::Status& status : {stop.status(), requests.status()}) {
    if (status.ok()) continue;
    PrintError(console.err, status);
    return kExitFailed;
  }
  RequestServer server(
      {.store = store,
       .requests = *requests,
       .publish = options,
       .open = [&source_options](
                   const PublishRequest& request) { return OpenOfNode(request, source_options); },
       .clock = &SystemClock(),
       .first_pause_seconds = kNodeFirstPauseSeconds,
       .keep_seconds = 0,  // a pull is rare, and trying costs little
       .on_result = LogResult,
       .stopping = [&stop] { return stop->Wait(0); }});
  for (;;) {
    const absl::StatusOr<size_t> served = server.ServeOnce();
    if (!served.ok()) {
      PrintError(console.err, served.status());
      return kExitFailed;
    }
    // What came meanwhile is looked for by slackerd when this process has ended.
    if (*served == 0 || stop->Wait(kPauseMs)) return kExitOk;
  }
}

}  // namespace slacker::ctl
