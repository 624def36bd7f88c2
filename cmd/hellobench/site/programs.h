// Other people's programs: commands that run to their end, and daemons. The one seam to them.
//
// A program runs in a place: this process's own namespaces, or those of another process. Whatever is
// started is in a session of its own, so that Ctrl-C on a terminal is ours alone to act on.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace slacker::hellobench {

// The namespaces for processes, mounts and network of `process`; 0: our own.
struct Where {
  pid_t process = 0;
};

struct Command {
  std::vector<std::string> words;  // the first: a path, or a name that is looked for
  Where where = {};
  std::map<std::string, std::string> environment = {};  // beside our own
  std::chrono::seconds limit{60};
  bool clean_up = false;  // an interrupt does not end it
};

// A process that goes on until it is ended. One thread at a time.
class Daemon {
 public:
  virtual ~Daemon() = default;    // kills it
  virtual pid_t pid() const = 0;  // in our own namespace; also of one that has ended
  virtual bool Running() = 0;
  virtual void Kill() = 0;              // returns when it is gone
  virtual std::string Log() const = 0;  // the end of what it wrote
};

// Thread-safe.
class Programs {
 public:
  virtual ~Programs() = default;

  // Whether what is under way is to be given up.
  virtual bool Interrupted() const = 0;
  // Where a program lies. NOT_FOUND, with its name, where there is none.
  virtual absl::StatusOr<std::string> Find(const std::string& name) const = 0;
  // What it wrote to standard output. INTERNAL, with the end of both streams, if it does not end with 0; DEADLINE_EXCEEDED,
  // CANCELLED when it was killed for its time or by an interrupt.
  virtual absl::StatusOr<std::string> Run(const Command& command) = 0;
  // Its output is appended to the file `log`.
  virtual absl::StatusOr<std::unique_ptr<Daemon>> Start(const Command& command,
                                                        const std::string& log) = 0;
};

// `directories` are searched before PATH, by us and by what is started.
std::unique_ptr<Programs> OpenPrograms(const std::vector<std::string>& directories,
                                       const std::atomic<bool>* interrupted);

// How long a daemon may take until it answers.
inline constexpr std::chrono::seconds kStartLimit{60};

// Until the condition holds. UNAVAILABLE, with the end of its log, if the daemon ends before;
// DEADLINE_EXCEEDED; CANCELLED by an interrupt of `programs`. `what` is the condition in words.
absl::Status Await(const Programs& programs, Daemon& daemon, std::string_view name,
                   std::string_view what, std::chrono::seconds limit,
                   const std::function<bool()>& condition);

}  // namespace slacker::hellobench
