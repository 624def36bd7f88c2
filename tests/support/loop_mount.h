// Mounts for tests, without mount(8). Everything is undone by the destructor, and what cannot be
// undone fails the test. The first mount moves the calling thread into a mount namespace of its
// own, so that nothing stays when a test is killed. One thread.
#pragma once

#include <string>
#include <vector>

#include "backend/base/unique_fd.h"

namespace slacker::testing {

enum class Access { kRead, kWrite };

// A loop device over a plain file. It goes when its last user closes it.
class TestLoop {
 public:
  explicit TestLoop(const std::string& file, Access access = Access::kRead);
  const std::string& path() const { return path_; }

 private:
  void Attach(const std::string& file, Access access);

  UniqueFd fd_;
  std::string path_;
};

// A mounted file system. The mount point must exist.
class TestMount {
 public:
  TestMount(const std::string& type, const std::string& source, const std::string& target,
            const std::vector<std::string>& options, Access access = Access::kRead);
  ~TestMount();
  TestMount(const TestMount&) = delete;
  TestMount& operator=(const TestMount&) = delete;
  bool mounted() const { return mounted_; }

 private:
  void Mount(const std::string& type, const std::string& source,
             const std::vector<std::string>& options, Access access);

  std::string target_;
  bool mounted_ = false;
};

}  // namespace slacker::testing
