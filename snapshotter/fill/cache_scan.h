// Looks through the blob caches of a node once, when slackerd starts, for what LocalChunks is to know of
// those that nobody reads: their records and the claims of their maps, nothing of their content. What it
// cannot read it passes over.
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include "snapshotter/files/record_files.h"
#include "snapshotter/fill/local_chunks.h"
#include "snapshotter/metastore/db.h"

namespace slacker {

class CacheScan {
 public:
  // `directory`: of the caches. All outlive it. A thread (slk-index) begins at once, and ends by itself; it reads
  // records at the lowest priority.
  CacheScan(Db* db, const RecordFiles* records, std::string directory, LocalChunks* local);
  ~CacheScan();  // waits for the record that it is at

 private:
  void Run();

  Db* const db_;
  const RecordFiles* const records_;
  const std::string directory_;
  LocalChunks* const local_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> thread_id_ = 0;  // the kernel's; 0 = has not begun
  std::thread thread_;
};

}  // namespace slacker
