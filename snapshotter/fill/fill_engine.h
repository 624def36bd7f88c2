// Brings missing chunks onto the node: from what a crash left in the cache file if it verifies, from
// the cache of another layer that has the same chunk (local_chunks.h, docs/adr/0035), else from the
// store. One fetch per chunk, however many wait for it, in whichever layers; neighbours are fetched
// together; waiters get their bytes from memory as soon as they are verified, those of other layers
// when they can be copied; the cache file is written behind.
//
// Failures. A store that does not answer is asked again, with a growing pause, until the fill is
// `stall_timeout` old: then UNAVAILABLE. A chunk that is not where it should be, or fails its
// verification, is looked for once more at its newest location: then DATA_LOSS. A cache file that
// cannot be written costs nothing but the next fetch. Each of these is one line in the log when
// it begins, and one with counts when it is over (snapshotter/faults).
//
// What others bring unasked goes the same way from its arrival on: one fetch for each chunk, whoever
// brings it. What leaves the cache does so under the same order: a chunk that is evicted counts as
// being on its way until it is gone, so nobody else can touch it.
//
// A layer record that the node has lost or damaged is fetched again in the same way, with the same
// failures.
//
// Memory: at most `max_bytes_in_flight` of chunks between request and cache file (one request may
// exceed it alone); what is beyond waits its turn.
//
// Threads: `fetch_threads` that talk to the store and verify, two that write, one that watches the
// time. Thread-safe. Callbacks of the backend keep the engine alive, hence shared_ptr.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "backend/base/clock.h"
#include "backend/base/thread_pool.h"
#include "backend/store/store.h"
#include "snapshotter/faults/store_outage.h"
#include "snapshotter/faults/write_outage.h"
#include "snapshotter/fill/layer_blob.h"
#include "snapshotter/fill/local_chunks.h"

namespace slacker {

struct FillCounters {
  std::atomic<uint64_t> chunks_filled = 0;     // from the store
  std::atomic<uint64_t> chunks_recovered = 0;  // from what a crash left in the cache file
  std::atomic<uint64_t> chunks_copied = 0;     // from the caches of other layers
  std::atomic<uint64_t> chunks_damaged = 0;    // given up with DATA_LOSS
  std::atomic<uint64_t> retries = 0;           // because the store did not answer
  std::atomic<uint64_t> stalled = 0;           // given up with UNAVAILABLE
  std::atomic<uint64_t> chunks_spoilt = 0;     // that the disk did not give back
  std::atomic<uint64_t> false_pages = 0;       // chunks of which a boot pack had other pages
};

class FillEngine : public std::enable_shared_from_this<FillEngine> {
 public:
  struct Options {
    std::chrono::nanoseconds stall_timeout = std::chrono::minutes(5);
    std::chrono::nanoseconds retry_min = std::chrono::milliseconds(100);
    std::chrono::nanoseconds retry_max = std::chrono::seconds(5);
    uint64_t max_bytes_in_flight = 64ULL << 20;
    int fetch_threads = 4;
    // A blob of this node by its ID; null if there is none, or it cannot be read. Called without locks.
    std::function<std::shared_ptr<LayerBlob>(uint64_t blob_id)> find_blob = [](uint64_t) {
      return nullptr;
    };
    // What the log calls the images that stand on a blob. Called without locks.
    std::function<std::string(uint64_t blob_id)> name_images = [](uint64_t) { return ""; };
  };

  // `backend` may be null: what is missing is UNAVAILABLE at once. `records` and `clock` outlive
  // the engine.
  static std::shared_ptr<FillEngine> Start(std::shared_ptr<ReadBackend> backend,
                                           RecordFiles* records, const Clock* clock,
                                           const Options& options);
  ~FillEngine();

  // For each chunk of [first, last): it is in the cache file, and its index is returned; or else
  // `operation` gets its bytes (Take) and PartDone later, or within this call.
  std::vector<uint32_t> Want(const std::shared_ptr<LayerBlob>& blob, uint32_t first, uint32_t last,
                             const std::shared_ptr<ReadOperation>& operation);

  // For a chunk that Want has found in the cache: `operation` gets from there what it needs of it, and
  // PartDone within this call. When the chunk has been taken out since, or the disk does not give it
  // back, as for one that Want has not found.
  void ReadPresent(const std::shared_ptr<LayerBlob>& blob, uint32_t chunk,
                   const std::shared_ptr<ReadOperation>& operation);

  // What somebody brings unasked (boot_stream.h), chunk by chunk in this order.
  //
  // Announce: of the chunks [first, first + count) those that are neither in the cache nor on their
  // way are on their way from now on: who wants one waits for it instead of having it fetched. To
  // each belongs exactly one Bring or Withdraw. Bring takes its verified bytes; blocks while much
  // that was brought waits for the disk. Withdraw: they will not come; those that somebody waits
  // for are fetched.
  struct Announced {
    uint32_t chunk = 0;
    std::shared_ptr<Fill> fill;  // shared: with who waits for it
  };
  using Announcement = std::deque<Announced>;
  Announcement Announce(const std::shared_ptr<LayerBlob>& blob, uint32_t first, uint32_t count);
  void Bring(const std::shared_ptr<LayerBlob>& blob, const Announced& announced, std::string bytes);
  void Withdraw(const std::shared_ptr<LayerBlob>& blob, const Announcement& announced);

  // The same for pages of a chunk that come without the rest. Who wants only such waits for them; who
  // wants others has the whole chunk fetched, and then nobody waits for these pages any more.
  // AnnouncePages: empty when they are there, or the whole chunk is on its way. BringPages: their
  // bytes, which somebody vouches for.
  struct AnnouncedPages {
    ChunkPages pages;
    std::shared_ptr<Fill> fill;  // shared: with who waits for it
  };
  std::optional<AnnouncedPages> AnnouncePages(const std::shared_ptr<LayerBlob>& blob,
                                              const ChunkPages& pages);
  void BringPages(const std::shared_ptr<LayerBlob>& blob, const AnnouncedPages& announced,
                  std::string_view bytes);
  void WithdrawPages(const std::shared_ptr<LayerBlob>& blob, const AnnouncedPages& announced);

  // Takes chunks out of the cache that the disk does not give back as they were (`status` OK), or not
  // at all; counts and logs them. Not empty.
  void DropSpoilt(LayerBlob& blob, std::vector<uint32_t> chunks, const absl::Status& status);

  // Takes those of the chunks out of the cache that are in it and that nobody is at. Who wants one
  // meanwhile waits, and then has it fetched. `chunks` ascend. How many there were, and their bytes;
  // the errors of BlobCache::Evict, which also says what is REQUIRED. Local disk only.
  struct Evicted {
    uint64_t chunks = 0, bytes = 0;
  };
  absl::StatusOr<Evicted> Evict(const std::shared_ptr<LayerBlob>& blob,
                                const std::vector<uint32_t>& chunks);
  // Its cache was discarded: what is on its way for it is answered with CANCELLED, as is what anybody
  // asks for later, and the store is not asked again. What the store is at with it keeps the blob
  // until the store answers.
  void Abandon(const std::shared_ptr<LayerBlob>& blob);
  // Off: what is fetched is answered, and not written to the cache.
  void SetCaching(bool on) { caching_ = on; }
  bool caching() const { return caching_; }

  // Now, for LayerBlob::NoteUse.
  uint32_t UseSeconds() const;

  // Fetches a record, verifies it and keeps it on the node; `done` is told on a thread of the engine,
  // or within this call. One fetch for each record, however many ask. UNAVAILABLE: the store did not
  // answer within the stall timeout, or there is none. DATA_LOSS: it has no sound one. CANCELLED:
  // stopped.
  void FetchRecord(const Digest& record, std::function<void(const absl::Status&)> done);

  // Which chunks the caches have; of a blob that was just loaded all that it has.
  LocalChunks& local_chunks() { return local_; }
  void NoteLocal(const LayerBlob& blob);

  // Answers everything that waits with CANCELLED and ends the threads, after what they are at; but
  // those that ask the store, which may hang, go on.
  void Stop();
  // After Stop: waits for those too.
  void WaitForStore();

  // Runs `task` on one of the threads that write: short disk work. False after Stop.
  bool RunOnDiskThread(std::function<void()> task);

  const FillCounters& counters() const { return counters_; }
  // How reads get on with the store, and writes with the disk of the caches.
  StoreOutage::Report DescribeOutage() const { return outage_.Describe(); }
  WriteOutage::Report DescribeWrites() const { return write_outage_.Describe(); }
  void LookAtWrites() { write_outage_.Look(); }
  uint64_t failed_writes() const { return write_outage_.failed_writes(); }
  // Logs what is over of the faults of a blob; all of them: since it was removed. Called now and then.
  void TellFaults(LayerBlob& blob, bool all = false);

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  using FillList = std::vector<std::shared_ptr<Fill>>;
  struct Run;      // neighbouring chunks of one blob that are fetched together
  struct Attempt;  // one try to fetch a run
  struct Watched {
    TimePoint deadline;
    std::shared_ptr<LayerBlob> blob;
    uint32_t first;
    FillList fills;
  };

  // A chunk that is being fetched, and for whom else it is wanted.
  struct Led {
    uint64_t blob = 0;
    std::vector<std::shared_ptr<Run>> followers;  // of one chunk each; shared like those of queue_
  };

  struct RecordFetch {
    TimePoint deadline;
    TimePoint due;  // of the next try
    int attempt = 0;
    bool running = true;
    std::vector<std::function<void(const absl::Status&)>> waiters;
  };

  // One that could not be fetched again.
  struct LostRecord {
    TimePoint told;      // when the log had a line about it
    uint64_t times = 0;  // since it was lost
  };

  FillEngine(std::shared_ptr<ReadBackend> backend, RecordFiles* records, const Clock* clock,
             const Options& options);

  std::chrono::nanoseconds PauseAfter(int attempts) const;
  void TryRecord(const Digest& record);
  absl::Status BringRecord(const Digest& record);
  void FinishRecord(const Digest& record, const absl::Status& status);
  std::vector<RecordFetch> TakeExpiredRecords() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TryDueRecords() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndPages(const std::shared_ptr<LayerBlob>& blob, const AnnouncedPages& announced);
  void RefuseFalsePages(LayerBlob& blob, uint32_t chunk);
  void NoteWrite(const LayerBlob& blob, const absl::Status& written);
  bool ReadPart(LayerBlob& blob, uint32_t chunk, ReadOperation& operation);
  void WatchAnew(const std::shared_ptr<LayerBlob>& blob,
                 const std::vector<std::pair<uint32_t, std::shared_ptr<Fill>>>& fills,
                 TimePoint deadline);
  void Submit(std::shared_ptr<Run> run, FillList fills);
  void Pump() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Release(uint64_t bytes);
  void Fetch(const std::shared_ptr<Run>& run);
  bool Recover(const Run& run, uint32_t chunk, const Fill& fill);
  // The bytes are in flight until they are written, as with a chunk that has come from the store.
  bool CopyFromNode(const Run& run, uint32_t chunk, const Fill& fill);
  // Those of the run's chunks that nobody is fetching for another blob. The others follow: they are
  // not in flight any more, and are queued again when that has ended, by when they can be copied.
  std::vector<uint32_t> Lead(const Run& run, const std::vector<uint32_t>& chunks);
  // What Lead let through is on the node, or does not come this time.
  void EndLead(const LayerBlob& blob, uint32_t chunk);
  // The blob neither leads nor follows any more.
  void LetFollowersGo(const LayerBlob& blob) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Queue(std::vector<std::shared_ptr<Run>> followers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Arrived(const std::shared_ptr<Attempt>& attempt, uint32_t chunk,
               absl::StatusOr<std::string> bytes);
  // Decides chunk by chunk whether to try again; their bytes are no longer in flight.
  void Failed(const Run& run, std::vector<std::pair<uint32_t, absl::Status>> failed);
  void TryAgain(Run run);
  void GiveUp(const Run& run, uint32_t chunk, const absl::Status& status);
  // Where the cache of another layer has a chunk.
  struct ChunkOf {
    std::shared_ptr<LayerBlob> blob;
    uint32_t chunk;
  };
  void WriteBehind(const std::shared_ptr<LayerBlob>& blob, uint32_t chunk,
                   std::shared_ptr<const std::string> bytes, bool brought = false,
                   const std::optional<ChunkOf>& from = std::nullopt);
  void Written(uint64_t bytes, bool brought);
  void Watch();
  std::vector<Watched> TakeExpired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RequeueDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  RecordFiles* const records_;
  const Clock* const clock_;
  const Options options_;
  const std::unique_ptr<StoreReader> reader_;  // null without a store
  FillCounters counters_;
  LocalChunks local_;
  StoreOutage outage_;
  WriteOutage write_outage_;
  std::atomic<bool> caching_ = true;

  Mutex mutex_;  // never held together with LayerBlob::mutex
  CondVar changed_;
  CondVar brought_written_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t bytes_in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t brought_unwritten_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // Runs are shared with the tasks that fetch them.
  std::deque<std::shared_ptr<Run>> queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<TimePoint, std::shared_ptr<Run>>> retries_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<Digest, Led> led_ ABSL_GUARDED_BY(mutex_);  // by the chunk
  std::deque<Watched> watched_ ABSL_GUARDED_BY(mutex_);          // by deadline
  std::unordered_map<Digest, RecordFetch> record_fetches_ ABSL_GUARDED_BY(mutex_);
  std::map<Digest, LostRecord> lost_records_ ABSL_GUARDED_BY(mutex_);

  std::thread watcher_;
  std::unique_ptr<ThreadPool> fetch_pool_;
  std::unique_ptr<ThreadPool> disk_pool_;
};

}  // namespace slacker
