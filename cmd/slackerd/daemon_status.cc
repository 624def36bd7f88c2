// What operators ask of the daemon: counters, status, and a look at the caches.
#include <unistd.h>

#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "cmd/slackerd/daemon.h"
#include "snapshotter/attach/kernel_features.h"
#include "snapshotter/metastore/image_table.h"

namespace slacker {
namespace {

using State = CircuitBreaker::State;

const char* NameOf(State state) {
  switch (state) {
    case State::kOpen:
      return "open";
    case State::kHalfOpen:
      return "half-open";
    case State::kClosed:
      break;
  }
  return "closed";
}

// When that was, or will be, by the wall clock as it stands now.
int64_t UnixSeconds(std::chrono::steady_clock::time_point time) {
  const auto ago = SystemClock().Monotonic() - time;
  return (SystemClock().WallNanos() - std::chrono::nanoseconds(ago).count()) / 1'000'000'000;
}

BreakerStatus Describe(const StoreGateway::Report& report) {
  BreakerStatus status;
  status.state = NameOf(report.breaker.state);
  status.since_unix_seconds = UnixSeconds(report.breaker.since);
  if (report.breaker.state == State::kOpen) {
    status.next_probe_unix_seconds = UnixSeconds(report.breaker.next_probe);
  }
  status.refused = report.breaker.refused;
  status.error = report.error;
  return status;
}

ReplicaStatus Describe(const Replicas::Report& report) {
  ReplicaStatus status;
  status.url = report.url;
  status.reads = report.reads;
  status.failures = report.failures;
  if (!report.aside) return status;
  status.aside = true;
  status.since_unix_seconds = UnixSeconds(report.since);
  status.error = report.error;
  status.spared = report.spared;
  return status;
}

FaultyLayer Describe(const LayerFaults& faults, bool in_store) {
  const ChunkFaults::Report& report = in_store ? *faults.in_store : *faults.on_disk;
  return {.record = faults.record,
          .images = faults.images,
          .in_store = in_store,
          .since_unix_seconds = UnixSeconds(report.since),
          .wrong = report.wrong,
          .chunks = report.chunks,
          .times = report.times,
          .error = report.error};
}

CacheStatus Describe(const CacheSpace& space, const OverLimit& over,
                     const WriteOutage::Report& writes) {
  CacheStatus status;
  status.max_bytes = space.limits().max_bytes;
  status.min_free_percent = space.limits().min_free_percent;
  if (const auto usage = space.Usage(); usage.ok()) {
    status.free_bytes = usage->free_bytes;
    status.disk_bytes = usage->disk_bytes;
  }
  if (over.over) {
    status.over_since_unix_seconds = UnixSeconds(over.since);
    status.excess_bytes = over.excess_bytes;
    status.over_error = over.error;
  }
  if (writes.failing) {
    status.failing_since_unix_seconds = UnixSeconds(writes.since);
    status.failed_writes = writes.failed_writes;
    status.write_error = writes.error;
  }
  return status;
}

OutageStatus Describe(const StoreOutage::Report& report) {
  if (!report.silent) return {};
  return {.silent = true,
          .since_unix_seconds = UnixSeconds(report.since),
          .unanswered = report.unanswered,
          .given_up = report.given_up,
          .error = report.error};
}

}  // namespace

std::vector<std::pair<std::string, uint64_t>> Daemon::Counters() const {
  const FillStats fill = filler_->Stats();
  const ImageManager::Transfers pull = images_->Stats();
  const BootStats boot = images_->BootPackStats();
  const FuseCounters fuse = connection_->counters();
  const CompletionStats completion =
      completer_ == nullptr ? CompletionStats() : completer_->Stats();
  const EvictionStats eviction = evictor_->Stats();
  const ScrubStats scrub = scrubber_->Stats();
  const TreeWarmer::Stats warming = images_->WarmingStats();
  return {{"pull_store_requests", pull.store_requests},
          {"pull_store_bytes", pull.store_bytes},
          {"boot_store_requests", boot.requests},
          {"boot_store_bytes", boot.bytes},
          {"boot_packs", boot.packs},
          {"boot_packs_ignored", boot.packs_ignored},
          {"boot_records", boot.records},
          {"boot_chunks", boot.chunks},
          {"boot_chunks_present", boot.chunks_present},
          {"boot_pages", boot.pages},
          {"boot_false_pages", fill.false_pages},
          {"warmed_trees", warming.trees},
          {"warmed_bytes", warming.bytes},
          {"fill_store_requests", fill.store_requests},
          {"fill_store_bytes", fill.store_bytes},
          {"chunks_filled", fill.chunks_filled},
          {"chunks_recovered", fill.chunks_recovered},
          {"chunks_copied", fill.chunks_copied},
          {"chunks_damaged", fill.chunks_damaged},
          {"chunks_spoilt", fill.chunks_spoilt},
          {"fill_retries", fill.retries},
          {"fill_stalled", fill.stalled},
          {"fill_outages", filler_->engine().DescribeOutage().outages},
          {"cache_failed_writes", fill.failed_writes},
          {"caches_cut", fill.caches_cut},
          {"caches_deleted", fill.caches_deleted},
          {"blob_reads", fill.reads},
          {"blob_read_hits", fill.read_hits},
          {"served_bytes", fill.served_bytes},
          {"completed_bytes", completion.bytes_fetched},
          {"blobs_sealed", completion.blobs_sealed},
          {"blobs_switched", completion.blobs_switched},
          {"blobs_reopened", completion.blobs_reopened},
          {"evictions", eviction.runs},
          {"evicted_chunks", eviction.chunks},
          {"evicted_bytes", eviction.bytes},
          {"scrubbed_chunks", scrub.chunks},
          {"scrubbed_bytes", scrub.bytes},
          {"scrub_damaged", scrub.damaged},
          {"fuse_requests", fuse.requests},
          {"fuse_resent", fuse.resent},
          {"fuse_errors", fuse.errors}};
}

void Daemon::LogCounters() const {
  const auto counters = Counters();  // the fields refer to its names
  std::vector<LogField> fields;
  for (const auto& [name, value] : counters) fields.emplace_back(name, std::to_string(value));
  Log(LogLevel::kInfo, "counters", std::span<const LogField>(fields));
}

NodeStatus Daemon::Status() {
  NodeStatus status;
  status.version = SLACKER_VERSION;
  status.pid = getpid();
  status.root = root_;
  status.started_unix_seconds = started_unix_seconds_;
  status.features = ProbeKernel(root_ + "/blobs");
  status.features.push_back(
      {"fuse_resend", connection_->kernel_resends(),
       connection_->kernel_resends() ? "" : "the keeper has the requests that slackerd has taken"});
  status.fuse_directory = connection_->directory();
  status.fuse_alive = connection_->alive();
  status.fuse_adopted = connection_->adopted();
  if (auto kept = keeper_->List(); kept.ok()) {
    status.keeper_alive = true;
    status.kept = *std::move(kept);
  }
  if (backend_ != nullptr) {
    StoreStatus store;
    store.breaker = Describe(images_->DescribeGateway());
    store.outage = Describe(filler_->engine().DescribeOutage());
    if (replicas_ == nullptr) {
      store.places.push_back({.url = backend_->Url()});
    } else {
      for (const Replicas::Report& report : replicas_->Describe()) {
        store.places.push_back(Describe(report));
      }
    }
    status.store = std::move(store);
  }
  status.caches = Describe(*space_, evictor_->Describe(), filler_->engine().DescribeWrites());
  for (const LayerFaults& faults : filler_->DescribeFaults()) {
    if (faults.in_store.has_value()) status.faulty_layers.push_back(Describe(faults, true));
    if (faults.on_disk.has_value()) status.faulty_layers.push_back(Describe(faults, false));
  }
  status.counters = Counters();
  return status;
}

// Each once, whoever shares it.
absl::StatusOr<std::vector<BlobRow>> Daemon::BlobsOf(const std::vector<Digest>& chains) {
  ASSIGN_OR_RETURN(Txn txn, db_->Read());
  std::vector<uint64_t> images;
  for (const Digest& chain : chains) {
    ASSIGN_OR_RETURN(const std::optional<uint64_t> image, FindImage(txn, chain));
    if (!image.has_value()) return NotFound(chain.ToString() + " is not on this node");
    images.push_back(*image);
  }
  if (chains.empty()) {
    ASSIGN_OR_RETURN(const std::vector<ImageRow> rows, AllImages(txn));
    for (const ImageRow& row : rows) images.push_back(row.id);
  }
  std::map<uint64_t, BlobRow> blobs;
  for (const uint64_t image : images) {
    ASSIGN_OR_RETURN(const std::vector<BlobRow> layers, ImageLayers(txn, image));
    for (const BlobRow& layer : layers) blobs.emplace(layer.id, layer);
  }
  std::vector<BlobRow> rows;
  for (const auto& [id, row] : blobs) rows.push_back(row);
  return rows;
}

absl::Status Daemon::Scrub(const std::vector<Digest>& chains,
                           const std::function<void(const ScrubbedLayer&)>& told,
                           const std::function<bool()>& cancelled) {
  ASSIGN_OR_RETURN(const std::vector<BlobRow> blobs, BlobsOf(chains));
  for (const BlobRow& blob : blobs) {
    const ScrubbedBlob found = scrubber_->ScrubNow(blob, cancelled);
    if (absl::IsCancelled(found.status)) return found.status;
    ScrubbedLayer layer;
    layer.record = blob.record;
    layer.chunks = found.chunks;
    layer.bytes = found.bytes;
    layer.damaged = found.damaged;
    layer.repaired = found.repaired;
    if (!found.status.ok()) layer.error = Message(found.status);
    told(layer);
  }
  return absl::OkStatus();
}

}  // namespace slacker
