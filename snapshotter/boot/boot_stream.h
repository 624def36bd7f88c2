// Boot packs on their way into the blob caches, ahead of demand: records for Ensure, and the chunks
// that a start will touch.
//
// Life. Begin asks for the first part of an image's boot pack, together with whatever else the
// caller asks the store meanwhile. TakeRecords gives the records in it. Once the image is in the
// database, Place has the rest streamed: a few large reads under way at a time, in the order of the
// start. Chunks that the node has are not read, unless they stand between others; a chunk that is on
// its way either way is waited for by who wants it and not fetched twice (FillEngine). Cancel ends
// the asking; what is under way is still of use. While a boot pack is streamed its chain ID is the
// name of an empty file in a directory of the node, so that the next slackerd can go on with it.
//
// A boot pack decides nothing: records count by their digests, which the caller knows, chunks by
// those in the records. Pages have no digest of their own: they count if somebody whom this node
// trusts has signed the pack. One that is damaged, of other records, or has pages that nobody vouches
// for is given up with one line in the log, and everything else goes its ordinary way; so it is with a store that does not answer.
//
// Memory: the first part, kBootReadsInFlight reads of at most kBootReadBytes, and a window unpacked;
// chunks on their way into a cache count as the FillEngine's.
//
// Threads: one of its own ("slk-boot") that unpacks and verifies; the backend's, for an instant.
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/base/clock.h"
#include "backend/base/mutex.h"
#include "backend/base/thread_pool.h"
#include "backend/store/boot_pack.h"
#include "backend/store/store.h"
#include "snapshotter/fill/blob_filler.h"
#include "snapshotter/fill/counting_backend.h"

namespace slacker {

inline constexpr uint64_t kBootFirstReadBytes = 128 << 10;
inline constexpr uint64_t kBootReadBytes = 1 << 20;
inline constexpr size_t kBootReadsInFlight = 2;

// Since the start.
struct BootStats {
  uint64_t requests = 0, bytes = 0;  // asked of the store; received
  uint64_t packs = 0;                // found, and sound as far as their tables go
  uint64_t packs_ignored = 0;        // damaged, of other records, or not readable to the end
  uint64_t records = 0;              // taken from them
  uint64_t chunks = 0;               // brought
  uint64_t chunks_present = 0;       // not wanted: the node had them, or they were on their way
  uint64_t pages = 0;                // brought without the rest of their chunks
};

class BootStreams {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `backend` may be null: there are no boot packs then. `filler` and `clock` outlive this.
  // `directory` exists.
  // `keys`: whose packs with pages count; none: anybody's. `on_windows` is told how many windows of
  // a pack that has pages are on the node, from 0 on, whenever there are more; none: no more will
  // come. On the thread.
  BootStreams(
      std::shared_ptr<ReadBackend> backend, BlobFiller* filler, const Clock* clock,
      std::string directory, std::vector<PublicKey> keys,
      std::function<void(const Digest& chain_id, std::optional<size_t> windows)> on_windows);
  // Waits for nothing but what its own thread is at. What is announced is withdrawn.
  ~BootStreams();

  // Asks for the first part, unless that was done before in this process' life and not called off:
  // then false.
  bool Begin(const Digest& chain_id);

  // Those of `records` (digests of the whole chain, bottom first) that the first part brings and
  // `wanted` names, verified. Waits for the first part until `deadline`. Empty when there is none.
  std::map<Digest, RecordObject> TakeRecords(const Digest& chain_id,
                                             const std::vector<Digest>& records,
                                             const std::vector<Digest>& wanted, TimePoint deadline);

  // The image is in the database: its layers, bottom first. Streams, once, what was begun.
  void Place(const Digest& chain_id, const std::vector<BlobRow>& layers);

  // The table of a chain's pack, if it has come and nobody has taken it yet. It is kept until then.
  std::shared_ptr<const BootTable> TakeTable(const Digest& chain_id);

  // What a predecessor did not stream to the end: each is to be begun and placed, or forgotten.
  std::vector<Digest> Unfinished() const;

  // No more of it: it is not what is going to run.
  void Cancel(const Digest& chain_id);
  // Cancels, and forgets that it was ever begun: the image is gone.
  void Forget(const Digest& chain_id);
  // The same where the image was not to be had, unless somebody else had it and has placed it.
  void GiveUp(const Digest& chain_id);

  BootStats Stats() const;
  // What was under way on the thread is done.
  void WaitForTest();
  // Every stream has ended, or waits for Place.
  bool IdleForTest();

 private:
  struct Counters;
  struct Stream;
  struct Read;
  class Worker;

  std::shared_ptr<Stream> Find(const Digest& chain_id);
  void Drop(const Digest& chain_id, bool placed_too);

  const Clock* const clock_;
  const std::string directory_;
  const std::shared_ptr<TransferCounters> transfers_;  // with the backend's callbacks
  const std::shared_ptr<Worker> worker_;               // with the backend's callbacks

  Mutex mutex_;
  // Shared with reads under way.
  std::unordered_map<Digest, std::shared_ptr<Stream>> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace slacker
