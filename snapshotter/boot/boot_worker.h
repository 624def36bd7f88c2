// Inside of boot_stream.h: what runs on the thread "slk-boot", and the streams that it works at.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/store/boot_pack.h"
#include "backend/store/names.h"
#include "snapshotter/boot/boot_stream.h"

namespace slacker {

// Whether a table is of a chain with these records, bottom first.
bool IsOf(const BootTable& table, const std::vector<Digest>& records);

struct BootStreams::Counters {
  std::atomic<uint64_t> packs = 0, packs_ignored = 0, records = 0, chunks = 0, chunks_present = 0,
                        pages = 0;
};

struct BootStreams::Stream {
  explicit Stream(const Digest& chain) : chain_id(chain) {}

  const Digest chain_id;
  std::atomic<bool> cancelled = false;
  std::atomic<bool> ended = false;  // set by the worker's thread

  Mutex mutex;
  CondVar changed;
  bool arrived ABSL_GUARDED_BY(mutex) = false;  // the first part, or that there is none
  // Both are written once, before `arrived`, and given up by the worker's thread.
  std::shared_ptr<const std::string> first ABSL_GUARDED_BY(mutex);
  std::shared_ptr<const BootTable> table ABSL_GUARDED_BY(mutex);
  bool placed ABSL_GUARDED_BY(mutex) = false;
  bool over ABSL_GUARDED_BY(mutex) = false;         // the worker's thread needs the table no more
  bool table_taken ABSL_GUARDED_BY(mutex) = false;  // nor does anybody else
  std::vector<BlobRow> layers ABSL_GUARDED_BY(mutex);

  // Of the worker's thread alone.
  bool running = false;
  std::vector<std::shared_ptr<LayerBlob>> blobs;  // null: without content
  std::vector<const TableVector<Chunk>*> tables;  // parallel
  size_t next_window = 0;
  size_t windows_here = 0;                   // as was told
  std::vector<std::shared_ptr<Read>> reads;  // under way
  uint64_t chunks_brought = 0, pages_brought = 0, bytes_read = 0;
};

// Windows that are fetched together, and what of them was announced.
struct BootStreams::Read {
  uint64_t offset = 0, bytes = 0;
  size_t first_window = 0;
  std::vector<const BootTable::Window*> windows;
  std::vector<std::pair<std::shared_ptr<LayerBlob>, FillEngine::Announcement>> announced;
  std::deque<std::pair<std::shared_ptr<LayerBlob>, FillEngine::AnnouncedPages>> pages;
};

// What runs on the thread; outlives BootStreams in the callbacks of reads.
class BootStreams::Worker : public std::enable_shared_from_this<Worker> {
 public:
  Worker(std::shared_ptr<ReadBackend> backend, BlobFiller* filler, std::string directory,
         std::vector<PublicKey> keys,
         std::function<void(const Digest& chain_id, std::optional<size_t> windows)> on_windows)
      : backend_(std::move(backend)),
        filler_(filler),
        directory_(std::move(directory)),
        keys_(std::move(keys)),
        on_windows_(std::move(on_windows)),
        pool_(std::make_unique<ThreadPool>("slk-boot", 1)) {}

  bool has_store() const { return backend_ != nullptr; }
  const Counters& counters() const { return counters_; }
  Counters& counters() { return counters_; }

  // False after Stop.
  bool Run(std::function<void()> task);
  void Stop();

  void AskFirst(const std::shared_ptr<Stream>& stream);
  void Ignore(const Stream& stream, const absl::Status& status);
  // On the thread: goes on with a stream, if there is something to be done.
  void Advance(const std::shared_ptr<Stream>& stream);
  // On the thread: nobody is to go on with it.
  void ForgetUnfinished(const Digest& chain_id);
  // On the thread: what is announced will not come.
  void Abandon(const std::shared_ptr<Stream>& stream);

 private:
  void TakeFirst(const std::shared_ptr<Stream>& stream, absl::StatusOr<std::string> bytes);
  void SetFirst(const std::shared_ptr<Stream>& stream, std::string bytes,
                absl::StatusOr<BootTable> table);
  bool Prepare(Stream& stream);
  void NoteUnfinished(const Digest& chain_id);
  std::shared_ptr<Read> PlanRead(Stream& stream, const BootTable& table, uint64_t first_bytes);
  size_t Announce(Stream& stream, const BootTable::Window& window, Read* read);
  void Ask(const std::shared_ptr<Stream>& stream, const std::shared_ptr<Read>& read);
  size_t AnnouncePages(Stream& stream, const BootTable::Window& window, Read* read);
  absl::StatusOr<BootTable> DecodeTable(const Stream& stream, std::string_view beginning) const;
  absl::Status TakeChunks(Stream& stream, const BootTable::Window& window, std::string_view stored,
                          Read& read, size_t* next);
  absl::Status TakePages(Stream& stream, const BootTable::Window& window, std::string_view stored,
                         Read& read);
  absl::Status Take(Stream& stream, const std::shared_ptr<Read>& read, std::string_view bytes);
  void TellWindows(Stream& stream);
  void Withdraw(Read& read);
  void End(Stream& stream, const absl::Status& status);

  const std::shared_ptr<ReadBackend> backend_;
  BlobFiller* const filler_;  // used on the thread only
  const std::string directory_;
  const std::vector<PublicKey> keys_;
  const std::function<void(const Digest& chain_id, std::optional<size_t> windows)> on_windows_;
  Counters counters_;
  Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace slacker
