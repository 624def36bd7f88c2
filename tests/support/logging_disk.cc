#include "tests/support/logging_disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "backend/base/unique_fd.h"
#include "tests/support/erofs_sample.h"

namespace slacker::testing {
namespace {

constexpr size_t kBlock = 4096;

}  // namespace

LoggingDisk::LoggingDisk(const std::string& server, const std::string& image,
                         const std::string& directory)
    : path_(directory + "/disk"), log_(directory + "/log") {
  WriteWholeFile(path_, "");  // to be mounted over
  server_ = std::make_unique<LineProcess>(std::vector<std::string>{server, image, log_, path_});
  EXPECT_EQ(server_->Line(), "ready");
}

LoggingDisk::~LoggingDisk() {
  if (umount2(path_.c_str(), 0) == 0) {
    EXPECT_EQ(server_->Wait(), 0);
    return;
  }
  // Somebody uses it still, and the server would serve him for ever.
  ADD_FAILURE() << "the disk is in use: " << strerror(errno);
  (void)umount2(path_.c_str(), MNT_DETACH);
  server_->Kill();
}

uint64_t LoggingDisk::Position() const {
  struct stat info {};
  EXPECT_EQ(stat(log_.c_str(), &info), 0);
  return static_cast<uint64_t>(info.st_size);
}

DiskLog::DiskLog(const std::string& image, const std::string& log)
    : text_(ReadWholeFile(log)), durable_(ReadWholeFile(image)) {
  bool written = false;
  for (size_t at = 0; at < text_.size();) {
    std::array<uint64_t, 2> head{};
    std::memcpy(head.data(), text_.data() + at, sizeof head);
    at += sizeof head;
    entries_.push_back({at + head[1], head[0], head[1], text_.data() + at});
    at += head[1];
    EXPECT_EQ((head[0] | head[1]) % kBlock, 0U) << "part of a block was written";
    if (head[1] > 0) {
      writes_.push_back(at);
      written = true;
    } else if (written) {
      barriers_.push_back(at);
      written = false;
    }
  }
  end_ = text_.size();
}

void DiskLog::AdvanceTo(size_t entries) {
  for (; applied_ < entries; ++applied_) {
    const Entry& entry = entries_[applied_];
    std::memcpy(durable_.data() + entry.offset, entry.bytes, entry.size);
  }
}

void DiskLog::WriteDisk(uint64_t position, std::mt19937_64* random, const std::string& path) {
  size_t cut = 0, synced = 0;  // how many entries
  for (; cut < entries_.size() && entries_[cut].end <= position; ++cut) {
    if (entries_[cut].size == 0) synced = cut + 1;
  }
  AdvanceTo(synced);
  // Disks lose nearly nothing, or nearly everything, or anything.
  std::map<uint64_t, const char*> kept;
  const uint64_t tenths = random == nullptr ? 0 : (*random)() % 11;
  for (size_t i = synced; i < cut; ++i) {
    for (uint64_t at = 0; at < entries_[i].size; at += kBlock) {
      if (tenths == 0 || (*random)() % 10 >= tenths) continue;
      kept[entries_[i].offset + at] = entries_[i].bytes + at;
    }
  }
  const UniqueFd disk(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  EXPECT_TRUE(disk.valid()) << path;
  EXPECT_EQ(ftruncate(disk.get(), static_cast<off_t>(durable_.size())), 0);
  static constexpr std::array<char, kBlock> kZeros{};
  const auto put = [&](uint64_t offset, const char* bytes) {
    if (std::memcmp(bytes, kZeros.data(), kBlock) == 0 && !kept.contains(offset)) return;
    EXPECT_EQ(pwrite(disk.get(), bytes, kBlock, static_cast<off_t>(offset)),
              static_cast<ssize_t>(kBlock));
  };
  for (uint64_t at = 0; at < durable_.size(); at += kBlock) {
    const auto found = kept.find(at);
    put(at, found != kept.end() ? found->second : durable_.data() + at);
  }
}

}  // namespace slacker::testing
