#include "snapshotter/care/scrubber.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/log.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr std::chrono::milliseconds kLookInterval{2};

}  // namespace

Scrubber::Scrubber(Options options)
    : options_(std::move(options)), idle_(options_.activity, options_.idle, options_.busy) {
  thread_ = std::thread([this] {
    TakeTheLastPlace("slk-scrub");
    Work();
  });
}

Scrubber::~Scrubber() {
  idle_.Stop();
  thread_.join();
}

absl::StatusOr<std::vector<BlobRow>> Scrubber::Blobs() {
  ASSIGN_OR_RETURN(Txn txn, options_.db->Read());
  return ReferencedBlobs(txn);
}

void Scrubber::Work() {
  std::minstd_rand random(std::random_device{}());
  while (idle_.WaitUntilIdle()) {
    auto blobs = Blobs();
    if (!blobs.ok()) {
      Log(LogLevel::kWarning, "cannot ask which blob caches there are, ignoring",
          {{"error", blobs.status().ToString()}});
    } else if (!blobs->empty()) {
      const auto begin = static_cast<std::ptrdiff_t>(random() % blobs->size());
      std::rotate(blobs->begin(), blobs->begin() + begin, blobs->end());
      for (const BlobRow& blob : *blobs) {
        if (!Scrub(blob)) return;
      }
      ++rounds_;
    }
    if (!idle_.Pause(options_.pause)) return;
  }
}

bool Scrubber::Scrub(const BlobRow& row) {
  if (options_.filler->AllocatedBytes(row.id) == 0) return !idle_.stopping();
  const auto blob = options_.filler->Find(row.id);
  // Removed meanwhile, or its record is damaged, which its next read finds and mends.
  if (!blob.ok()) return !idle_.stopping();
  const TableVector<Chunk>& chunks = (*blob)->layer().chunks;
  for (uint32_t chunk = 0; chunk < chunks.size(); ++chunk) {
    if (idle_.stopping() || (idle_.Disturbed() && !idle_.WaitUntilIdle())) return false;
    if ((*blob)->cache().discarded()) return true;
    if (!(*blob)->cache().Has(chunk)) continue;
    (void)Check(*blob, chunk);  // what is dropped comes back when it is read, or completed
    const auto cost = static_cast<double>(chunks[chunk].size_bytes) /
                      static_cast<double>(std::max<uint64_t>(options_.bytes_per_second, 1));
    if (!idle_.GiveWay() ||
        !idle_.Pause(std::chrono::nanoseconds(static_cast<int64_t>(cost * 1e9))))
      return false;
  }
  return true;
}

bool Scrubber::Check(const std::shared_ptr<LayerBlob>& blob, uint32_t chunk) {
  const absl::Status verified = blob->VerifyOnDisk(chunk);
  // Evicted meanwhile, or there is no memory to look at it.
  if (absl::IsNotFound(verified) || absl::IsResourceExhausted(verified)) return true;
  ++chunks_;
  bytes_ += blob->layer().chunks[chunk].size_bytes;
  if (verified.ok()) return true;
  ++damaged_;
  options_.filler->engine().DropSpoilt(*blob, {chunk},
                                       verified);  // who reads it may have been first
  return false;
}

ScrubbedBlob Scrubber::ScrubNow(const BlobRow& row, const std::function<bool()>& cancelled) {
  ScrubbedBlob found;
  if (options_.filler->AllocatedBytes(row.id) == 0) return found;
  const auto blob = options_.filler->Find(row.id);
  if (!blob.ok()) {
    found.status = blob.status();
    return found;
  }
  const TableVector<Chunk>& chunks = (*blob)->layer().chunks;
  std::vector<uint32_t> fetched;
  for (uint32_t chunk = 0; chunk < chunks.size(); ++chunk) {
    if (cancelled()) {
      found.status = Cancelled("nobody waits for it any more");
      return found;
    }
    if (!(*blob)->cache().Has(chunk)) continue;
    ++found.chunks;
    found.bytes += chunks[chunk].size_bytes;
    if (Check(*blob, chunk)) continue;
    ++found.damaged;
    const absl::Status repaired = options_.filler->Fill(*blob, chunk, chunk + 1, cancelled);
    if (repaired.ok()) {
      fetched.push_back(chunk);
    } else {
      found.status = repaired;
    }
  }
  // What was fetched is written behind.
  for (const uint32_t chunk : fetched) {
    while ((*blob)->HasFill(chunk) && !cancelled() && idle_.Pause(kLookInterval)) {
    }
    if ((*blob)->cache().Has(chunk)) {
      ++found.repaired;
    } else if ((*blob)->HasFill(chunk)) {
      found.status = Cancelled("nobody waits for it any more");
    } else {
      found.status = FailedPrecondition("a chunk came, but the cache did not take it");
    }
  }
  return found;
}

}  // namespace slacker
