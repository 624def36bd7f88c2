// slackerctl trace: a command runs in a published image, what it reads becomes the image's boot
// pack, and nothing of it stays behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "backend/loopback/loopback_backend.h"
#include "backend/publish/publisher.h"
#include "backend/source/layout_source.h"
#include "backend/store/boot_pack.h"
#include "backend/store/names.h"
#include "backend/store/start_trace.h"
#include "tests/support/eventually.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/oci_image.h"
#include "tests/support/processes.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

using ::testing::Contains;
using ::testing::Not;

namespace fs = std::filesystem;

// What this machine's shell and setpriv need, and nothing else of it.
constexpr const char* kShellFiles[] = {
    "/bin/dash", "/usr/bin/setpriv", "/lib64/ld-linux-x86-64.so.2",
    "/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libcap-ng.so.0"};

class ImageTraceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* file : kShellFiles) {
      if (!fs::exists(file)) GTEST_SKIP() << "this machine has no " << file;
    }
    TarBuilder lower, upper;
    for (const char* file : kShellFiles) lower.File(file + 1, ReadFileOrDie(file), 0755);
    lower.File("cold", RandomBytes(300'000, 1));
    lower.File("etc/passwd", "other:x:7:7::/home/of/other:\nroot:x:0:0::/home/of/root:\n");
    lower.File("etc/group", "root:x:0:\n");
    WriteFileOrDie(dir_ / "outside", "as it was");
    lower.Symlink("etc/resolv.conf", dir_ / "outside");
    upper.File("hot", "a line\n" + RandomBytes(300'000, 2)).File("warm", "another\n");
    image_ = layout_.AddImage({GzipLayer(lower.End()), GzipLayer(upper.End())});
    auto opened = LoopbackBackend::Open(dir_ / "store", LoopbackBackend::Missing::kCreate);
    ASSERT_OK(opened);
    store_ = *std::move(opened);
    auto source = OpenLayoutSource(layout_.directory(), "");
    ASSERT_OK(source);
    PublishOptions options;
    options.platform = {"linux", "amd64", ""};
    ASSERT_OK(Publish(**source, store_, options, nullptr));
  }

  std::vector<std::string> Arguments(const std::string& action) const {
    return {SLACKERCTL,    "trace",        action,      "oci:" + layout_.directory(),
            "--platform",  "linux/amd64",  "--store",   "loopback:" + (dir_ / "store"),
            "--state-dir", dir_ / "state", "--run-dir", dir_ / "run"};
  }
  std::vector<std::string> RecordArguments(const std::string& script,
                                           const std::string& seconds = "30") const {
    std::vector<std::string> arguments = Arguments("record");
    for (const std::string& more : {std::string("--seconds"), seconds, std::string("--"),
                                    std::string("/bin/dash"), std::string("-c"), script}) {
      arguments.push_back(more);
    }
    return arguments;
  }
  // Its exit code.
  static int Run(const std::vector<std::string>& arguments, std::string* output = nullptr) {
    LineProcess process(arguments);
    for (std::string line; !(line = process.Line()).empty();) {
      if (output != nullptr) *output += line + "\n";
    }
    const int status = process.Wait();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  BootOrigin OriginOfPack() const {
    const auto pack = store_->ReadWhole(BootPackName(image_.chain_id), 64 << 20);
    EXPECT_OK(pack);
    const auto table = DecodeBootTable(*pack, image_.chain_id);
    EXPECT_OK(table);
    return table->origin;
  }
  std::set<std::string> ShownFiles() const {
    std::vector<std::string> arguments = Arguments("show");
    arguments.emplace_back("--json");
    std::string output;
    EXPECT_EQ(Run(arguments, &output), 0);
    std::set<std::string> files;
    const auto json = nlohmann::json::parse(output, nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << output;
    if (json.is_discarded()) return files;
    for (const auto& part : json["read"]) files.insert(part["file"].get<std::string>());
    return files;
  }
  void ExpectNothingLeft() const {
    EXPECT_TRUE(fs::is_empty(dir_ / "state"));
    EXPECT_TRUE(fs::is_empty(dir_ / "run"));
  }

  const TempDir dir_;
  const KernelLeakCheck leaks_{dir_.path()};
  OciLayout layout_{dir_ / "layout"};
  WrittenImage image_;
  std::shared_ptr<Backend> store_;
};

TEST_F(ImageTraceTest, WhatACommandReadsBecomesTheBootPack) {
  EXPECT_EQ(OriginOfPack(), BootOrigin::kGuess);
  ASSERT_EQ(Run(RecordArguments("read line < /hot; echo \"$line\" > /written; test -e /proc/1")),
            0);
  EXPECT_EQ(OriginOfPack(), BootOrigin::kTrace);
  const std::set<std::string> files = ShownFiles();
  for (const char* file : {"/bin/dash", "/lib/x86_64-linux-gnu/libc.so.6", "/hot"}) {
    EXPECT_THAT(files, Contains(file));
  }
  EXPECT_THAT(files, Not(Contains("/cold")));
  ExpectNothingLeft();
}

TEST_F(ImageTraceTest, WhatContainerdReadsBeforeACommandIsPartOfItsStart) {
  ASSERT_EQ(Run(RecordArguments("exit 0")), 0);
  const std::set<std::string> files = ShownFiles();
  EXPECT_THAT(files, Contains("/etc/passwd"));
  EXPECT_THAT(files, Contains("/etc/group"));
}

TEST_F(ImageTraceTest, ACommandHasTheHomeAndThePathThatItHasInAContainer) {
  EXPECT_EQ(Run(RecordArguments("set -eu; [ $HOME = /home/of/root ]; "
                                "case $PATH in *:/usr/bin:*) ;; *) exit 9 ;; esac")),
            0);
}

TEST_F(ImageTraceTest, ACommandKnowsTheMachinesNamesAsInAContainer) {
  for (const std::string path : {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}) {
    if (!fs::exists(path) || fs::file_size(path) == 0) continue;
    const std::string text = ReadFileOrDie(path);
    EXPECT_EQ(Run(RecordArguments("set -e; IFS= read -r line < " + path + "; [ \"$line\" = '" +
                                  text.substr(0, text.find('\n')) + "' ]")),
              0)
        << path;
  }
  // Other users, too.
  EXPECT_EQ(Run(RecordArguments("exec setpriv --reuid 1 --clear-groups /bin/dash -c "
                                "'read -r line < /etc/hosts'")),
            0);
}

// The image has a symbolic link there, out of itself.
TEST_F(ImageTraceTest, TheMachinesNamesAreWrittenNowhereElse) {
  ASSERT_EQ(Run(RecordArguments("exit 0")), 0);
  EXPECT_EQ(ReadFileOrDie(dir_ / "outside"), "as it was");
}

TEST_F(ImageTraceTest, WithoutADirectoryForTemporaryFilesItIsAnError) {
  ASSERT_EQ(setenv("TMPDIR", (dir_ / "none").c_str(), 1), 0);
  EXPECT_EQ(Run(RecordArguments("exit 0")), 1);
  ASSERT_EQ(unsetenv("TMPDIR"), 0);
  EXPECT_FALSE(fs::exists(dir_ / "state"));
}

TEST_F(ImageTraceTest, RunsAreMerged) {
  ASSERT_EQ(Run(RecordArguments("read line < /hot")), 0);
  ASSERT_EQ(Run(RecordArguments("read line < /warm")), 0);
  EXPECT_EQ(ReadMergedTrace(*store_, image_.chain_id)->starts, 2U);
  EXPECT_THAT(ShownFiles(), Contains("/hot"));
  EXPECT_THAT(ShownFiles(), Contains("/warm"));
}

TEST_F(ImageTraceTest, ACommandThatFailsIsNotRecorded) {
  EXPECT_EQ(Run(RecordArguments("exit 3")), 1);
  EXPECT_EQ(Run([this] {
              auto arguments = Arguments("record");
              arguments.insert(arguments.end(), {"--", "/no/such/program"});
              return arguments;
            }()),
            1);
  EXPECT_EQ(Run(Arguments("record")), 1) << "the image says nothing of what it runs";
  EXPECT_EQ(OriginOfPack(), BootOrigin::kGuess);
  ExpectNothingLeft();
}

TEST_F(ImageTraceTest, AServerIsEndedWhenItsTimeIsOver) {
  ASSERT_EQ(Run(RecordArguments("read line < /hot; while :; do :; done", "2")), 0);
  EXPECT_THAT(ShownFiles(), Contains("/hot"));
  ExpectNothingLeft();
}

// As entrypoints of images do: the kernel does not end such a one with its parent any more.
TEST_F(ImageTraceTest, AServerThatBecameAnotherUserIsEndedAllTheSame) {
  ASSERT_EQ(Run(RecordArguments("read line < /hot; exec setpriv --reuid 1 --clear-groups "
                                "/bin/dash -c 'while :; do :; done'",
                                "2")),
            0);
  EXPECT_THAT(ShownFiles(), Contains("/hot"));
  ExpectNothingLeft();
}

TEST_F(ImageTraceTest, InterruptedItLeavesNothing) {
  LineProcess process(RecordArguments("while :; do :; done", "600"));
  ASSERT_TRUE(
      Eventually([this] { return fs::exists(dir_ / "state") && !fs::is_empty(dir_ / "state"); }));
  ASSERT_EQ(kill(process.pid(), SIGINT), 0);
  EXPECT_EQ(WEXITSTATUS(process.Wait()), 1);
  EXPECT_EQ(OriginOfPack(), BootOrigin::kGuess);
  ExpectNothingLeft();
}

TEST_F(ImageTraceTest, RemovedTracesMakeRoomForAGuess) {
  ASSERT_EQ(Run(RecordArguments("read line < /hot")), 0);
  ASSERT_EQ(Run(Arguments("rm")), 0);
  EXPECT_EQ(OriginOfPack(), BootOrigin::kGuess);
  EXPECT_EQ(Run(Arguments("show")), 1);
  EXPECT_TRUE(store_->List(std::string(kTracesPrefix))->empty());
}

}  // namespace
}  // namespace slacker::testing
