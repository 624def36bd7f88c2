#include "backend/loopback/loopback_backend.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <atomic>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/thread_limit.h"

namespace slacker {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::StatusIs;
using Missing = LoopbackBackend::Missing;

class LoopbackBackendTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return root_ + "/" + name; }

  testing::TempDir directory_;
  const std::string root_ = directory_ / "store";
  std::unique_ptr<LoopbackBackend> backend_ =
      LoopbackBackend::Open(root_, Missing::kCreate).value();
};

TEST_F(LoopbackBackendTest, WithoutThreadsThereIsNoBackend) {
  const testing::ThreadLimit few(LoopbackBackend::kReadThreads - 1);
  EXPECT_THAT(LoopbackBackend::Open(root_, Missing::kFail).status(),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(LoopbackBackendTest, ObjectsAreFilesOfTheirName) {
  ASSERT_OK(backend_->Put("packs/a", "x"));
  EXPECT_EQ(fs::file_size(Path("packs/a")), 1u);
  int files = 0;
  for ([[maybe_unused]] const auto& file : fs::directory_iterator(Path("packs"))) ++files;
  EXPECT_EQ(files, 1);
}

TEST_F(LoopbackBackendTest, SecondBackendSeesTheObjects) {
  ASSERT_OK(backend_->Put("packs/a", "x"));
  ASSERT_OK_AND_ASSIGN(auto other, LoopbackBackend::Open(root_ + "//", Missing::kFail));
  EXPECT_EQ(other->Read("packs/a", 0, 1).value(), "x");
}

TEST_F(LoopbackBackendTest, LeftoversOfADeadWriterAreNeverListed) {
  ASSERT_OK(backend_->Put("packs/a", "x"));
  std::ofstream(Path("packs/.tmp-0123456789abcdef0123456789abcdef")) << "half";
  std::ofstream(Path("packs/not an object")) << "?";
  EXPECT_THAT(backend_->List("").value(), ElementsAre("packs/a"));
}

TEST_F(LoopbackBackendTest, LeftoversOfADayAreSweptWhenTheNextPublisherOpensTheStore) {
  ASSERT_OK(backend_->Put("manifests/a/unsigned", "x"));
  const std::string stem = "manifests/a/.tmp-0123456789abcdef0123456789abcde";
  const std::string old_file = Path(stem + "0");
  const std::string young_file = Path(stem + "1");
  const std::string other_file = Path("manifests/.tmp-not-ours");
  const std::string outside = directory_ / ".tmp-0123456789abcdef0123456789abcdef";
  for (const std::string& path : {old_file, young_file, other_file, outside}) {
    std::ofstream(path) << "half";
  }
  fs::create_symlink(directory_.path(), Path("manifests/link"));
  timespec now{};
  ASSERT_EQ(clock_gettime(CLOCK_REALTIME, &now), 0);
  constexpr time_t kDay = 24 * 60 * 60;
  const auto set_age = [&now](const std::string& path, time_t age) {
    const timespec times[2] = {{now.tv_sec - age, 0}, {now.tv_sec - age, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  };
  for (const std::string& path : {old_file, other_file, outside, Path("manifests/a/unsigned")}) {
    set_age(path, kDay + 60);
  }
  set_age(young_file, kDay - 600);

  ASSERT_OK(LoopbackBackend::Open(root_, Missing::kFail));
  ASSERT_OK(LoopbackBackend::Open(root_, Missing::kAllow));
  EXPECT_TRUE(fs::exists(old_file));  // readers sweep nothing
  ASSERT_OK(LoopbackBackend::Open(root_, Missing::kCreate));
  EXPECT_FALSE(fs::exists(old_file));
  for (const std::string& path : {young_file, other_file, outside}) {
    EXPECT_TRUE(fs::exists(path)) << path;
  }
  EXPECT_EQ(backend_->Read("manifests/a/unsigned", 0, 1).value(), "x");
}

TEST_F(LoopbackBackendTest, AbandonedWriterLeavesNoFile) {
  ASSERT_OK_AND_ASSIGN(auto writer, backend_->Create("packs/a"));
  ASSERT_OK(writer->Append("half"));
  writer.reset();
  EXPECT_TRUE(fs::is_empty(Path("packs")));
}

TEST_F(LoopbackBackendTest, VanishedRootIsUnavailableAndNotMadeAgain) {
  ASSERT_OK(backend_->Put("packs/a", "x"));
  fs::remove_all(root_);
  constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
  EXPECT_THAT(backend_->Read("packs/a", 0, 1), StatusIs(kUnavailable));
  EXPECT_THAT(backend_->Stat("packs/a"), StatusIs(kUnavailable));
  EXPECT_THAT(backend_->List("packs/"), StatusIs(kUnavailable));
  EXPECT_THAT(backend_->Create("packs/b"), StatusIs(kUnavailable));
  EXPECT_THAT(backend_->Replace("packs/b", "x"), StatusIs(kUnavailable));
  EXPECT_THAT(backend_->Remove("packs/a"), StatusIs(kUnavailable));
  EXPECT_FALSE(fs::exists(root_));
}

TEST_F(LoopbackBackendTest, LinksAndSpecialFilesAreNoObjects) {
  ASSERT_OK(backend_->Put("secret", "x"));
  fs::create_symlink(Path("secret"), Path("link"));
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  ASSERT_EQ(mknod(Path("socket").c_str(), S_IFSOCK | 0600, 0), 0);
  EXPECT_THAT(backend_->Read("fifo", 0, 1), StatusIs(absl::StatusCode::kNotFound));
  // Nothing that may be there later: whoever reads a chunk asks on while a store has troubles.
  EXPECT_THAT(backend_->Read("link", 0, 1), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(backend_->Read("socket", 0, 1), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(backend_->Stat("link"), StatusIs(absl::StatusCode::kNotFound));
  // Maintenance must find them, and get them out of the way.
  EXPECT_THAT(backend_->List("").value(), ElementsAre("fifo", "link", "secret", "socket"));
  fs::create_directory(Path("directory"));
  for (const char* thing : {"fifo", "link", "socket", "directory"}) {
    const std::string name = thing;
    EXPECT_THAT(backend_->Put(name, "x"), StatusIs(absl::StatusCode::kInternal)) << name;
    ASSERT_OK(backend_->Move(name, "aside/" + name));
    EXPECT_OK(backend_->Put(name, "x")) << name;
  }
  EXPECT_EQ(fs::read_symlink(Path("aside/link")), Path("secret"));
}

TEST_F(LoopbackBackendTest, FileInPlaceOfADirectoryIsAnErrorForWriters) {
  ASSERT_OK(backend_->Put("packs", "x"));
  EXPECT_THAT(backend_->Put("packs/a", "x"), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(LoopbackBackendTest, DestructorWaitsForEveryCallback) {
  ASSERT_OK(backend_->Put("a", "x"));
  std::atomic<int> answers{0};
  for (int i = 0; i < 200; ++i) {
    backend_->ReadAsync("a", 0, 1, [&answers](auto bytes) { answers += bytes.ok() ? 1 : 0; });
  }
  backend_.reset();
  EXPECT_EQ(answers, 200);
}

TEST(LoopbackBackendOpenTest, RelativeRootIsInvalid) {
  EXPECT_THAT(LoopbackBackend::Open("store", Missing::kCreate),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(LoopbackBackendOpenTest, RootThatCannotBeMadeIsAnError) {
  const testing::TempDir directory;
  std::ofstream(directory / "file") << "x";
  EXPECT_THAT(LoopbackBackend::Open(directory / "file/store", Missing::kCreate),
              StatusIs(absl::StatusCode::kInternal));
}

// A file system of its own, so small that it can be filled.
class SmallDiskTest : public ::testing::Test {
 protected:
  SmallDiskTest() {
    mounted_ = mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=256k") == 0;
  }
  ~SmallDiskTest() override {
    if (mounted_) {
      EXPECT_EQ(umount(directory_.path().c_str()), 0);
    }
  }

  testing::TempDir directory_;
  bool mounted_ = false;
};

TEST_F(SmallDiskTest, FullDiskIsResourceExhaustedAndLeavesNothing) {
  ASSERT_TRUE(mounted_);
  ASSERT_OK_AND_ASSIGN(auto backend, LoopbackBackend::Open(directory_.path(), Missing::kFail));
  ASSERT_OK(backend->Put("packs/small", "x"));
  const std::string large(1 << 20, 'x');
  EXPECT_THAT(backend->Put("packs/large", large), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(backend->Replace("packs/small", large),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(backend->List("").value(), ElementsAre("packs/small"));
  EXPECT_EQ(backend->Read("packs/small", 0, 9).value(), "x");
  EXPECT_OK(backend->Put("packs/other", "y"));
}

TEST_F(SmallDiskTest, ReadOnlyDiskIsPermissionDenied) {
  ASSERT_TRUE(mounted_);
  ASSERT_OK_AND_ASSIGN(auto backend, LoopbackBackend::Open(directory_.path(), Missing::kFail));
  ASSERT_OK(backend->Put("packs/a", "x"));
  ASSERT_EQ(mount("", directory_.path().c_str(), "", MS_REMOUNT | MS_RDONLY, ""), 0);
  EXPECT_THAT(backend->Put("packs/b", "x"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(backend->Replace("packs/a", "y"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(backend->Remove("packs/a"), StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_EQ(backend->Read("packs/a", 0, 9).value(), "x");
  EXPECT_THAT(LoopbackBackend::Open(directory_ / "store", Missing::kCreate),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

}  // namespace
}  // namespace slacker
