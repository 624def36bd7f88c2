// A server for tests/fault/takeover_test.cc to kill: everything of slackerd that attaching needs,
// and blob 1 from a plain file. Attaches, says "ready adopted=A", then obeys lines on its standard
// input: "counters", "attach", "detach", "bye", "hold N", "release",
// "warm N" (has the first N files read in advance). After HOLD reads it answers no
// more and says "holding"; "hold N": after N more; "release": answers all of them, and what comes.
// Ends when its standard input does.
//
//   takeover_server ROOT RUN_DIR KEEPER HELPER DEADLINE BLOB METADATA TREE HOLD
#include <fcntl.h>
#include <sys/stat.h>

#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "backend/base/thread_pool.h"
#include "snapshotter/attach/kernel_tree_mounter.h"

namespace slacker {
namespace {

// Threads say what they have to at any time: each line whole.
void Say(const std::string& line) { std::cout << line + "\n" << std::flush; }

constexpr uint64_t kBlobId = 1;

class FileBlobSource final : public BlobSource {
 public:
  FileBlobSource(const std::string& path, long hold)
      : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)), left_(hold) {
    struct stat status {};
    (void)fstat(fd_.get(), &status);
    size_ = static_cast<uint64_t>(status.st_size);
  }
  absl::StatusOr<uint64_t> BlobSize(uint64_t blob_id) override {
    if (blob_id != kBlobId) return NotFound("no such blob");
    return size_;
  }
  void ReadAsync(uint64_t, uint64_t offset, uint32_t size, ReadCallback done) override {
    auto answer = [this, offset, size, done = std::move(done)] {
      std::string data(size, '\0');
      const ssize_t got = pread(fd_.get(), data.data(), size, static_cast<off_t>(offset));
      data.resize(got > 0 ? static_cast<size_t>(got) : 0);
      done(std::move(data));
    };
    {
      MutexLock lock(&mutex_);
      if (left_ == 0) Say("holding");
      if (left_-- <= 0) {
        held_.push_back(std::move(answer));
        return;
      }
    }
    pool_.Add(std::move(answer));
  }
  void Hold(long after) {
    MutexLock lock(&mutex_);
    left_ = after;
  }
  void Release() {
    MutexLock lock(&mutex_);
    left_ = kNever;
    for (auto& answer : held_) pool_.Add(std::move(answer));
    held_.clear();
  }

 private:
  static constexpr long kNever = 1'000'000'000;
  UniqueFd fd_;
  uint64_t size_ = 0;
  Mutex mutex_;
  long left_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::function<void()>> held_ ABSL_GUARDED_BY(mutex_);
  ThreadPool pool_{"blob", 2};
};

void Say(const std::string& what, const absl::Status& status) {
  Say(status.ok() ? what : what + " failed: " + Message(status));
}

int Serve(char** arguments) {
  const std::string root = arguments[1], run_dir = arguments[2], tree = arguments[8];
  const long hold = std::stol(arguments[9]);
  FileBlobSource source(arguments[6], hold);
  auto keeper = KeeperClient::Open({root, run_dir, arguments[3], std::stoi(arguments[5])});
  if (!keeper.ok()) return Say("keeper", keeper.status()), 1;
  auto connection = FuseConnection::Open({run_dir, 2}, keeper->get(), &source);
  if (!connection.ok()) return Say("connection", connection.status()), 1;
  Say("connected");
  auto mounter = KernelTreeMounter::Open({arguments[4], 16}, connection->get(), keeper->get());
  if (!mounter.ok()) return Say("mounter", mounter.status()), 1;
  const TreeSpec spec{arguments[7], tree, {{kBlobId, *source.BlobSize(kBlobId)}}};
  Say(std::string("ready adopted=") + ((*connection)->adopted() ? "1" : "0"),
      (*mounter)->Attach(spec));
  for (std::string command; std::getline(std::cin, command);) {
    if (command == "counters") {
      const FuseCounters counters = (*connection)->counters();
      Say("resent=" + std::to_string(counters.resent) +
          " errors=" + std::to_string(counters.errors));
    } else if (command == "attach") {
      Say("attach", (*mounter)->Attach(spec));
    } else if (command == "detach") {
      Say("detach", (*mounter)->Detach(tree));
    } else if (command.starts_with("warm ")) {
      std::vector<FileRange> files;
      for (long file = 0; file < std::stol(command.substr(5)); ++file) {
        files.push_back({"/f" + std::to_string(file), 0, 1 << 20});
      }
      (*mounter)->ReadInAdvance(tree, files);
      Say("warm");
    } else if (command.starts_with("hold ")) {
      source.Hold(std::stol(command.substr(5)));
      Say("hold");
    } else if (command == "release") {
      source.Release();
      Say("release");
    } else if (command == "bye") {
      const auto ended = (*mounter)->EndIfIdle();
      Say(ended.ok() ? (*ended ? "bye" : "still in use") : Message(ended.status()));
    }
  }
  _exit(0);
}

}  // namespace
}  // namespace slacker

int main(int argc, char** argv) { return argc == 10 ? slacker::Serve(argv) : 2; }
