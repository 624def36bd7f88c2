// A disk whose power can be cut: a file that remembers, in their order, all that was written to it
// and every time that it was told to make that durable.
//
// The file is a FUSE file system of its own, served by another process (logging_disk_server); a loop
// device on it turns a flush of the disk, and a write that must be durable at once, into an fsync of
// the file: a *barrier*. Nothing is cached in between: what a file system has written and flushed is
// in the log by the time it knows. DiskLog makes from the log what such a disk has when the power
// goes: everything before the last barrier, and of what was written since, block by block, some or
// other.
//
// Not simulated: disks that lie about flushes, blocks of 4096 bytes that are half written.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/support/processes.h"

namespace slacker::testing {

// One thread. Declare before what uses it.
class LoggingDisk {
 public:
  // `server`: that program. The disk begins as the file `image`, which stays as it is; `directory`
  // gets the files "disk" and "log".
  LoggingDisk(const std::string& server, const std::string& image, const std::string& directory);
  // Nothing may use it any more.
  ~LoggingDisk();
  LoggingDisk(const LoggingDisk&) = delete;
  LoggingDisk& operator=(const LoggingDisk&) = delete;

  const std::string& path() const { return path_; }  // for a loop device
  const std::string& log() const { return log_; }
  // What was written until now is before it.
  uint64_t Position() const;

 private:
  const std::string path_, log_;
  std::unique_ptr<LineProcess> server_;
};

// One thread.
class DiskLog {
 public:
  DiskLog(const std::string& image, const std::string& log);

  uint64_t end() const { return end_; }
  // Positions right behind each barrier before which something was written, ascending.
  const std::vector<uint64_t>& barriers() const { return barriers_; }
  // Positions right behind each write.
  const std::vector<uint64_t>& writes() const { return writes_; }

  // Writes the disk of a power cut at `position` into the file `path`. `random` decides what is left
  // of each block that was written after the last barrier before it; null: nothing is.
  // REQUIRES: positions do not descend from call to call.
  void WriteDisk(uint64_t position, std::mt19937_64* random, const std::string& path);

 private:
  struct Entry {
    uint64_t end = 0;               // position behind it
    uint64_t offset = 0, size = 0;  // size 0: a barrier
    const char* bytes = nullptr;
  };
  void AdvanceTo(size_t entries);

  std::string text_;
  std::vector<Entry> entries_;
  std::vector<uint64_t> barriers_, writes_;
  uint64_t end_ = 0;
  std::string durable_;  // after the first `applied_` entries
  size_t applied_ = 0;
};

}  // namespace slacker::testing
