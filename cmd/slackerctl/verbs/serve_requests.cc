#include "cmd/slackerctl/verbs/serve_requests.h"

#include <csignal>
#include <ctime>
#include <ostream>

#include "backend/base/clock.h"
#include "backend/base/status.h"
#include "backend/publish/request_server.h"
#include "cmd/slackerctl/verb.h"

namespace slacker::ctl {
namespace {

constexpr timespec kPause = {.tv_sec = 5, .tv_nsec = 0};
constexpr timespec kNoPause = {.tv_sec = 0, .tv_nsec = 0};

sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

void PrintResult(const StoredRequest& stored, const absl::Status& result, const Console& console) {
  if (!stored.request.ok()) {
    console.err << "removed " << stored.name << ": " << Printable(Message(result)) << std::endl;
    return;
  }
  const std::string what = Printable(stored.request->reference) + " (" +
                           Printable(FormatPlatform(stored.request->platform)) + ", " +
                           stored.request->chain_id.ToString() + ")";
  if (result.ok()) {
    console.out << "published " << what << std::endl;
  } else {
    console.err << "cannot publish " << what << ": " << Printable(Message(result)) << std::endl;
  }
}

}  // namespace

void BlockStopSignals() {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

int ServeRequests(const std::shared_ptr<Backend>& store, const PublishOptions& options,
                  const SourceOptions& source_options, const Console& console) {
  const sigset_t signals = StopSignals();
  bool stopped = false;
  const auto await_stop = [&](const timespec& pause) {
    stopped = stopped || sigtimedwait(&signals, nullptr, &pause) > 0;
    return stopped;
  };
  RequestServer server({.store = store,
                        .publish = options,
                        .open =
                            [&source_options](const std::string& reference) {
                              return OpenImageSource("docker://" + reference, source_options);
                            },
                        .clock = &SystemClock(),
                        .on_result =
                            [&console](const StoredRequest& stored, const absl::Status& result) {
                              PrintResult(stored, result, console);
                            },
                        .stopping = [&] { return await_stop(kNoPause); }});
  std::string told;
  do {
    const absl::Status status = server.ServeOnce();
    if (!status.ok() && told != Message(status)) PrintError(console.err, status);
    told = Message(status);
  } while (!await_stop(kPause));
  return kExitOk;
}

}  // namespace slacker::ctl
