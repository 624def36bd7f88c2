#include "tests/unit/backend/erofs/mounted_image.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

struct CommandResult {
  int exit_code = -1;
  std::string output;
};

CommandResult Run(const std::string& command) {
  CommandResult result;
  FILE* pipe = popen((command + " 2>&1 </dev/null").c_str(), "re");
  EXPECT_NE(pipe, nullptr);
  if (pipe == nullptr) return result;
  char buffer[4096];
  for (size_t got; (got = fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    result.output.append(buffer, got);
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  return result;
}

void WriteFile(const std::string& path, const std::string& content) {
  FILE* file = fopen(path.c_str(), "wbe");
  ASSERT_NE(file, nullptr) << path;
  EXPECT_EQ(fwrite(content.data(), 1, content.size(), file), content.size());
  EXPECT_EQ(fclose(file), 0);
}

}  // namespace

void WriteBlob(const BuiltLayer& built, const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  ASSERT_TRUE(fd.valid()) << path;
  ASSERT_EQ(ftruncate(fd.get(), static_cast<off_t>(built.layer.blob_size_bytes)), 0);
  for (const auto& [offset, bytes] : built.blob) {
    ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()));
  }
}

MountedImage::MountedImage(const std::vector<const BuiltLayer*>& layers) : root_(dir_ / "root") {
  BuildAndMount(layers);
}

void MountedImage::BuildAndMount(const std::vector<const BuiltLayer*>& layers) {
  std::vector<const Layer*> plain;
  for (const BuiltLayer* built : layers) plain.push_back(&built->layer);
  ASSERT_OK_AND_ASSIGN(image_, BuildImage(plain));
  const std::string meta = dir_ / "meta";
  WriteFile(meta, image_.metadata);

  std::vector<TestLoop> loops;
  std::vector<std::string> options;
  std::string fsck = "fsck.erofs";
  loops.emplace_back(meta);
  for (const uint32_t device : image_.devices) {
    const std::string blob = dir_ / ("blob" + std::to_string(device));
    WriteBlob(*layers[device], blob);
    fsck += " --device=" + blob;
    loops.emplace_back(blob);
    options.push_back("device=" + loops.back().path());
  }
  const CommandResult checked = Run(fsck + " " + meta);
  EXPECT_EQ(checked.exit_code, 0) << checked.output;
  std::filesystem::create_directory(root_);
  mount_ = std::make_unique<TestMount>("erofs", loops[0].path(), root_, options);
}

std::string MountedImage::Dump(const std::string& arguments) const {
  std::string command = "dump.erofs " + arguments;
  for (const uint32_t device : image_.devices) {
    command += " --device=" + (dir_ / ("blob" + std::to_string(device)));
  }
  const CommandResult result = Run(command + " " + (dir_ / "meta"));
  EXPECT_EQ(result.exit_code, 0) << result.output;
  return result.output;
}

void ExpectImageMatches(const std::vector<const BuiltLayer*>& layers) {
  const MountedImage mounted(layers);
  if (::testing::Test::HasFailure()) return;
  const std::vector<std::string> differences =
      Differences(ModelOfLayers(layers), ReadModel(mounted.root()));
  for (const std::string& line : differences) ADD_FAILURE() << line;
}

}  // namespace slacker::testing
