// A store in this process's memory: for tests, and for trying things out. Gone with the process.
// Thread-safe; reads run on two threads of its own.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/base/mutex.h"
#include "backend/base/thread_pool.h"

namespace slacker {

class MemoryBackend final : public Backend {
 public:
  MemoryBackend();

  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size, ReadCallback done) override;
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override;
  std::string Url() const override { return "memory:"; }
  bool IsNetwork() const override { return false; }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(std::string_view name) override;
  absl::Status Replace(std::string_view name, std::string_view content) override;
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix) override;
  absl::Status Remove(std::string_view name) override;
  absl::Status Move(std::string_view from, std::string_view to) override;

 private:
  class Writer;
  struct Object {
    // Shared with the reads under way, which outlive a Remove.
    std::shared_ptr<const std::string> content;
    int64_t modified_unix_seconds = 0;
  };
  absl::StatusOr<Object> Find(std::string_view name);
  void Store(const std::string& name, std::string content, bool replace);

  Mutex mutex_;
  std::map<std::string, Object, std::less<>> objects_ ABSL_GUARDED_BY(mutex_);
  ThreadPool reads_;  // last: its destructor waits for the reads under way
};

}  // namespace slacker
