#include "snapshotter/fill/cache_scan.h"

#include <pthread.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/base/thread_priority.h"
#include "snapshotter/fill/blob_map.h"
#include "snapshotter/metastore/image_table.h"

namespace slacker {
namespace {

absl::StatusOr<std::vector<BlobRow>> ListBlobs(Db& db) {
  ASSIGN_OR_RETURN(Txn txn, db.Read());
  return AllBlobs(txn);
}

}  // namespace

CacheScan::CacheScan(Db* db, const RecordFiles* records, std::string directory, LocalChunks* local)
    : db_(db), records_(records), directory_(std::move(directory)), local_(local), thread_([this] {
        (void)pthread_setname_np(pthread_self(), "slk-index");  // only a label
        thread_id_ = gettid();
        Run();
      }) {}

CacheScan::~CacheScan() {
  stopping_ = true;
  if (thread_id_ != 0) SetNiceness(thread_id_, 0);  // who stops waits for the record that it is at
  thread_.join();
}

void CacheScan::Run() {
  const auto blobs = ListBlobs(*db_);
  if (!blobs.ok()) {
    Log(LogLevel::kWarning, "cannot tell which chunks the caches have; few are copied, ignoring",
        {{"error", Message(blobs.status())}});
    return;
  }
  for (const BlobRow& row : *blobs) {
    if (stopping_) return;
    const auto map = ReadBlobClaims(directory_ + "/" + std::to_string(row.id) + ".map");
    if (!map.ok() || map->record != row.record) continue;
    SetNiceness(thread_id_, kLowestNiceness);
    const auto layer = records_->Load(row.record);
    SetNiceness(thread_id_, 0);  // fills take the same lock
    if (!layer.ok() || layer->chunks.size() != map->chunks) continue;
    for (uint32_t chunk = 0; chunk < map->chunks && !stopping_; ++chunk) {
      if (map->Has(chunk)) local_->Note(layer->chunks[chunk].digest, row.id, chunk);
    }
  }
}

}  // namespace slacker
