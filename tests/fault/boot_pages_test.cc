// Boot packs with pages that are damaged in the store: a container reads what the image has, from its
// chunks, and the log says why.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>

#include "backend/base/unique_fd.h"
#include "backend/loopback/loopback_backend.h"
#include "backend/store/manifest_codec.h"
#include "backend/store/names.h"
#include "tests/fault/remote_fixture.h"
#include "tests/support/eventually.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint32_t kChunks = 40;
constexpr uint64_t kPage = kBootPageBytes;
// More than is asked for at first, in several windows; the last one begins in the middle of a chunk.
constexpr ChunkRun kPages[] = {{0, 3, 2}, {0, 64, 300}, {0, 40, 1}, {0, 392, 200}};

class BootPagesFaultTest : public RemoteFixture {
 protected:
  // A signed image, whose pack has pages, and a node that trusts the key alone.
  void SetUp() override {
    auto store = LoopbackBackend::Open(dir_ / "store", LoopbackBackend::Missing::kCreate);
    ASSERT_OK(store);
    store_ = *std::move(store);
    image_ = Publish(store_, {MakeLayerOfBigChunks(kChunks, 1)});
    for (const std::string& chunk : image_.layers[0].chunks) content_ += chunk;
    const auto manifest = StoreReader(store_).ReadManifest(image_.chain());
    ASSERT_OK(manifest);
    const Grant to_anybody{image_.chain(), ""};
    const Digest by = key_.public_key().id();
    ASSERT_OK(store_->Put(ManifestName(image_.chain(), by), EncodeManifest(*manifest, &key_)));
    ASSERT_OK(store_->Put(GrantName(to_anybody, by), EncodeGrant(to_anybody, &key_)));
    WritePagePackOf(store_, image_, {std::begin(kPages), std::end(kPages)}, &key_);
    std::ofstream(dir_ / "key.pub") << key_.public_key().ToPem();
    std::ofstream(config_) << "[node]\nrun_dir = \"" << run_dir_
                           << "\"\n[store]\nurl = \"loopback:" << (dir_ / "store")
                           << "\"\ntrusted_keys = [\"" << (dir_ / "key.pub")
                           << "\"]\n[cache]\ncomplete = \"off\"\n";
  }
  void TearDown() override {
    (void)umount2(merged_.c_str(), MNT_DETACH);
    DaemonFixture::TearDown();
  }
  std::string Pack() {
    const auto pack = store_->ReadWhole(BootPackName(image_.chain()), 64 << 20);
    EXPECT_OK(pack);
    return *pack;
  }
  void Damage(const std::function<void(std::string*, const BootTable&)>& damage) {
    std::string pack = Pack();
    const auto table = DecodeBootTable(pack, image_.chain());
    ASSERT_OK(table);
    ASSERT_GT(table->windows.size(), 1U);
    damage(&pack, *table);
    ASSERT_OK(store_->Replace(BootPackName(image_.chain()), pack));
  }
  // A container whose image's boot pack has come, as far as it does.
  void StartContainer(Daemon& daemon) {
    const std::string top = Pull(daemon, "layer");
    ASSERT_NE(top, "");
    ASSERT_TRUE(daemon.Prepare("container", top).ok());
    ASSERT_TRUE(Eventually([this] {
      const std::string log = Log();
      return log.find("a boot pack was read") != log.npos ||
             log.find("a boot pack is of no use") != log.npos;
    }));
    std::string data;
    for (const std::string& option : daemon.mounts().front().options()) {
      data += (data.empty() ? "" : ",") + option;
    }
    std::filesystem::create_directories(merged_);
    ASSERT_EQ(::mount("overlay", merged_.c_str(), "overlay", 0, data.c_str()), 0) << data;
  }
  // The pages of the pack one by one, as a start touches them, and then all of the file.
  void ExpectRightBytes() {
    const UniqueFd file(open((merged_ + "/big").c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(file.valid());
    ASSERT_EQ(posix_fadvise(file.get(), 0, 0, POSIX_FADV_RANDOM), 0);
    for (const ChunkRun& run : kPages) {
      for (uint64_t page = run.first; page < uint64_t{run.first} + run.count; page += 7) {
        std::string bytes(kPage, '\0');
        ASSERT_EQ(pread(file.get(), bytes.data(), kPage, static_cast<off_t>(page * kPage)),
                  static_cast<ssize_t>(kPage));
        ASSERT_TRUE(bytes == content_.substr(page * kPage, kPage)) << page;
      }
    }
    std::string all(content_.size() + 1, '\0');
    ASSERT_EQ(posix_fadvise(file.get(), 0, 0, POSIX_FADV_NORMAL), 0);
    size_t size = 0;
    for (ssize_t got = 1; got > 0; size += static_cast<size_t>(got)) {
      got = pread(file.get(), all.data() + size, all.size() - size, static_cast<off_t>(size));
      ASSERT_GE(got, 0);
    }
    all.resize(size);
    EXPECT_TRUE(all == content_);
  }
  void EndContainer(Daemon& daemon) {
    EXPECT_EQ(umount2(merged_.c_str(), 0), 0);
    EXPECT_TRUE(RemoveAll(daemon).ok());
  }

  const SigningKey key_ = SigningKey::Generate();
  const std::string merged_ = dir_ / "merged";
  std::shared_ptr<Backend> store_;
  std::string content_;
};

TEST_F(BootPagesFaultTest, ASoundPackBringsItsPages) {
  const auto daemon = Start();
  ASSERT_NO_FATAL_FAILURE(StartContainer(*daemon));
  EXPECT_THAT(Log(), HasSubstr("\"pages\":\"503\""));
  // What it brought needs no store: its chunks are not there.
  std::filesystem::rename(dir_ / "store/packs", dir_ / "away");
  {
    const UniqueFd file(open((merged_ + "/big").c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(file.valid());
    ASSERT_EQ(posix_fadvise(file.get(), 0, 0, POSIX_FADV_RANDOM), 0);
    std::string bytes(kPage, '\0');
    ASSERT_EQ(pread(file.get(), bytes.data(), kPage, 40 * kPage), static_cast<ssize_t>(kPage));
    EXPECT_TRUE(bytes == content_.substr(40 * kPage, kPage));
  }
  std::filesystem::rename(dir_ / "away", dir_ / "store/packs");
  ExpectRightBytes();
  EndContainer(*daemon);
  EXPECT_THAT(Log(), Not(HasSubstr("has damaged")));
}

struct DamagedPack {
  const char* name;
  std::function<void(std::string*, const BootTable&)> damage;
  const char* told;
};

class DamagedBootPagesTest : public BootPagesFaultTest,
                             public ::testing::WithParamInterface<DamagedPack> {};

TEST_P(DamagedBootPagesTest, TheContainerReadsTheImageAndTheLogSaysWhy) {
  ASSERT_NO_FATAL_FAILURE(Damage(GetParam().damage));
  const auto daemon = Start();
  ASSERT_NO_FATAL_FAILURE(StartContainer(*daemon));
  ExpectRightBytes();
  EndContainer(*daemon);
  EXPECT_THAT(Log(), HasSubstr("a boot pack is of no use"));
  EXPECT_THAT(Log(), HasSubstr(GetParam().told));
  EXPECT_THAT(Log(), Not(HasSubstr("had other bytes than its image")));
}

size_t TableEnd(const std::string& pack) { return *BootTableBytes(pack); }
void Flip(std::string* pack, size_t byte) { (*pack)[byte] = static_cast<char>((*pack)[byte] ^ 1); }

INSTANTIATE_TEST_SUITE_P(
    Ways, DamagedBootPagesTest,
    ::testing::Values(
        DamagedPack{"ABitOfTheFirstPages",
                    [](std::string* pack, const BootTable& table) {
                      Flip(pack, table.windows.front().offset + 100);
                    },
                    "pages fail their digest"},
        DamagedPack{"ABitOfTheLastPages",
                    [](std::string* pack, const BootTable&) { Flip(pack, pack->size() - 1); },
                    "pages fail their digest"},
        DamagedPack{"ItsEndIsMissing",
                    [](std::string* pack, const BootTable&) { pack->resize(pack->size() / 2); },
                    "ends within a window"},
        DamagedPack{"ItEndsInItsTable",
                    [](std::string* pack, const BootTable&) { pack->resize(TableEnd(*pack) - 1); },
                    "ends within its table"},
        DamagedPack{"ABitOfTheSignature",
                    [](std::string* pack, const BootTable&) { Flip(pack, TableEnd(*pack) - 1); },
                    "its signature is wrong"},
        DamagedPack{"ABitOfTheTable",
                    [](std::string* pack, const BootTable&) { Flip(pack, kBootHeadBytes + 40); },
                    "its table fails its checksum"},
        DamagedPack{
            "SignedByAStranger",
            [](std::string* pack, const BootTable&) { SignBootPack(SigningKey::Generate(), pack); },
            "not signed by a trusted key"}),
    [](const auto& way) { return std::string(way.param.name); });

}  // namespace
}  // namespace slacker::testing
