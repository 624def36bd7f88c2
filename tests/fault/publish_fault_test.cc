// slackerctl publish against stores that are full or cannot be written, and beside other
// publishers.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "backend/loopback/loopback_backend.h"
#include "backend/publish/verifier.h"
#include "backend/store/names.h"
#include "backend/store/pack_index.h"
#include "backend/store/store.h"
#include "backend/upkeep/compact.h"
#include "backend/upkeep/gc.h"
#include "tests/support/oci_image.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tar_builder.h"
#include "tests/support/temp_dir.h"

namespace slacker {
namespace {

using testing::GzipLayer;
using ::testing::HasSubstr;
using testing::ImageLayer;
using ::testing::IsEmpty;
using testing::RandomBytes;
using testing::TarBuilder;

// A small file system of its own, for as long as the object lives.
class SmallFileSystem {
 public:
  explicit SmallFileSystem(const std::string& path) : path_(path) {
    std::filesystem::create_directory(path);
    EXPECT_EQ(mount("tmpfs", path.c_str(), "tmpfs", 0, "size=512k"), 0);
  }
  ~SmallFileSystem() { EXPECT_EQ(umount2(path_.c_str(), 0), 0); }
  SmallFileSystem(const SmallFileSystem&) = delete;
  SmallFileSystem& operator=(const SmallFileSystem&) = delete;

  void Remount(unsigned long flags, const std::string& options) {
    ASSERT_EQ(mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT | flags, options.c_str()), 0);
  }

 private:
  const std::string path_;
};

class PublishFaultTest : public ::testing::Test {
 protected:
  void SetUp() override {
    layout_.AddImage({base_, Layer("one", 3)}, "one");
    layout_.AddImage({base_, Layer("two", 4)}, "two");
  }

  static ImageLayer Layer(const std::string& name, uint64_t seed) {
    return GzipLayer(TarBuilder().File(name, RandomBytes(900'000, seed)).End());
  }

  pid_t Start(const std::string& tag) {
    std::vector<std::string> arguments = {
        SLACKERCTL,          "publish",     "oci:" + layout_.directory() + ":" + tag,
        "--platform",        "linux/amd64", "--store",
        "loopback:" + store_};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors_.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    pid_t pid = -1;
    EXPECT_EQ(posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }
  static int Wait(pid_t pid) {
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status;
  }

  std::string Errors() { return testing::ReadFileOrDie(errors_); }

  std::shared_ptr<Backend> Store() {
    return LoopbackBackend::Open(store_, LoopbackBackend::Missing::kFail).value();
  }
  void ExpectSound(size_t images) {
    ASSERT_OK_AND_ASSIGN(const VerifyReport report, VerifyStore(Store()));
    for (const Damage& damage : report.damages) ADD_FAILURE() << damage.object << damage.what;
    EXPECT_EQ(ListImages(*Store())->size(), images);
  }

  const testing::TempDir dir_;
  const std::string store_ = dir_ / "store";
  const std::string errors_ = dir_ / "errors";
  testing::OciLayout layout_{dir_ / "layout"};
  const ImageLayer base_ = Layer("base", 1);
};

TEST_F(PublishFaultTest, AFullStoreIsAClearErrorAndNothingIsVisibleUntilThereIsRoom) {
  SmallFileSystem file_system(store_);
  EXPECT_NE(Wait(Start("one")), 0);
  EXPECT_THAT(Errors(), HasSubstr("No space left on device"));
  EXPECT_THAT(*Store()->List("manifests/"), IsEmpty());
  ExpectSound(0);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(store_)) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(".tmp-")) << entry.path();
  }
  file_system.Remount(0, "size=64m");
  EXPECT_EQ(Wait(Start("one")), 0);
  ExpectSound(1);
}

TEST_F(PublishFaultTest, AStoreThatCannotBeWrittenIsAClearErrorAndStaysReadable) {
  SmallFileSystem file_system(store_);
  file_system.Remount(0, "size=64m");
  ASSERT_EQ(Wait(Start("one")), 0);
  file_system.Remount(MS_RDONLY, "");
  EXPECT_NE(Wait(Start("two")), 0);
  EXPECT_THAT(Errors(), HasSubstr("Read-only file system"));
  ExpectSound(1);
}

TEST_F(PublishFaultTest, PublishersAtOnceAllSucceed) {
  std::vector<pid_t> publishers;
  for (const char* tag : {"one", "two", "one", "two"}) publishers.push_back(Start(tag));
  for (const pid_t pid : publishers) EXPECT_EQ(Wait(pid), 0) << Errors();
  ExpectSound(2);
  // What more than one of them stored is there once after maintenance.
  ASSERT_OK(Compact(*Store(), {}).status());
  ASSERT_OK(CollectGarbage(*Store(), {.grace_seconds = 0}).status());
  ExpectSound(2);
  std::set<Digest> chunks;
  const auto names1 = Store()->List(kPacksPrefix).value();
  for (const std::string& name : names1) {
    const auto pack = ParsePackIndexName(name);
    if (!pack.ok()) continue;
    ASSERT_OK_AND_ASSIGN(const std::string bytes, Store()->ReadWhole(name, kMaxPackIndexBytes));
    ASSERT_OK_AND_ASSIGN(const PackIndex index, DecodePackIndex(bytes, *pack));
    for (const PackedChunk& chunk : index.chunks) {
      EXPECT_TRUE(chunks.insert(chunk.digest).second) << chunk.digest.ToString();
    }
  }
  EXPECT_FALSE(chunks.empty());
}

}  // namespace
}  // namespace slacker
