// The windows of a stream: which are asked for together, and what becomes of their chunks.
#include <algorithm>

#include "backend/base/failpoint.h"
#include "backend/base/status.h"
#include "backend/store/names.h"
#include "snapshotter/boot/boot_worker.h"

namespace slacker {

size_t BootStreams::Worker::AnnouncePages(Stream& stream, const BootTable::Window& window,
                                          Read* read) {
  size_t announced = 0;
  for (const ChunkRun& run : window.runs) {
    const std::shared_ptr<LayerBlob>& blob = stream.blobs[run.layer];
    if (blob == nullptr) continue;
    for (const ChunkPages& pages : blob->PiecesOf(run.first, run.count)) {
      auto made = filler_->engine().AnnouncePages(blob, pages);
      if (!made.has_value()) continue;
      read->pages.emplace_back(blob, *std::move(made));
      ++announced;
    }
  }
  return announced;
}

size_t BootStreams::Worker::Announce(Stream& stream, const BootTable::Window& window, Read* read) {
  if (window.pages.has_value()) return AnnouncePages(stream, window, read);
  size_t announced = 0;
  for (const ChunkRun& run : window.runs) {
    const std::shared_ptr<LayerBlob>& blob = stream.blobs[run.layer];
    const size_t chunks = stream.tables[run.layer]->size();
    // What there is not the unpacking will find out.
    if (blob == nullptr || run.first > chunks || run.count > chunks - run.first) continue;
    FillEngine::Announcement made = filler_->engine().Announce(blob, run.first, run.count);
    announced += made.size();
    counters_.chunks_present += run.count - made.size();
    if (!made.empty()) read->announced.emplace_back(blob, std::move(made));
  }
  return announced;
}

// The next windows of which something is wanted, as far as they are neighbours; null at the end.
// Those within the first part make a read of their own.
std::shared_ptr<BootStreams::Read> BootStreams::Worker::PlanRead(Stream& stream,
                                                                 const BootTable& table,
                                                                 uint64_t first_bytes) {
  auto read = std::make_shared<Read>();
  for (; stream.next_window < table.windows.size(); ++stream.next_window) {
    const BootTable::Window& window = table.windows[stream.next_window];
    const uint64_t end = window.offset + window.stored_bytes;
    const bool is_here = end <= first_bytes;
    if (!read->windows.empty()) {
      const bool was_here = read->offset + read->bytes <= first_bytes;
      if (was_here != is_here || end - read->offset > kBootReadBytes) break;
    }
    if (Announce(stream, window, read.get()) == 0) {
      if (read->windows.empty()) continue;
      ++stream.next_window;
      break;
    }
    if (read->windows.empty()) {
      read->offset = window.offset;
      read->first_window = stream.next_window;
    }
    read->bytes = end - read->offset;
    read->windows.push_back(&window);
  }
  return read->windows.empty() ? nullptr : read;
}

void BootStreams::Worker::Advance(const std::shared_ptr<Stream>& stream) {
  if (stream->ended || !Prepare(*stream)) return;
  std::shared_ptr<const std::string> first;
  std::shared_ptr<const BootTable> table;
  {
    MutexLock lock(&stream->mutex);
    first = stream->first;
    table = stream->table;
  }
  while (!stream->cancelled && stream->reads.size() < kBootReadsInFlight) {
    const std::shared_ptr<Read> read = PlanRead(*stream, *table, first->size());
    if (read == nullptr) break;
    if (read->offset + read->bytes > first->size()) {
      Ask(stream, read);
      continue;
    }
    const absl::Status taken =
        Take(*stream, read, std::string_view(*first).substr(read->offset, read->bytes));
    if (!taken.ok()) return End(*stream, taken);
  }
  if (table->HasPages()) TellWindows(*stream);
  if (stream->reads.empty()) End(*stream, absl::OkStatus());
}

// Up to the first that is under way. What was not asked for was here already, or comes by other ways.
void BootStreams::Worker::TellWindows(Stream& stream) {
  size_t here = stream.next_window;
  for (const std::shared_ptr<Read>& read : stream.reads) here = std::min(here, read->first_window);
  if (here <= stream.windows_here || stream.cancelled) return;
  stream.windows_here = here;
  on_windows_(stream.chain_id, here);
}

void BootStreams::Worker::Ask(const std::shared_ptr<Stream>& stream,
                              const std::shared_ptr<Read>& read) {
  stream->reads.push_back(read);
  SLACKER_FAILPOINT("boot.read");
  backend_->ReadAsync(BootPackName(stream->chain_id), read->offset, read->bytes,
                      [self = shared_from_this(), stream, read](absl::StatusOr<std::string> bytes) {
                        (void)self->Run([self, stream, read, bytes = std::move(bytes)] {
                          const auto under_way =
                              std::find(stream->reads.begin(), stream->reads.end(), read);
                          if (under_way == stream->reads.end()) return;  // abandoned
                          stream->reads.erase(under_way);
                          absl::Status taken = bytes.status();
                          if (taken.ok()) {
                            stream->bytes_read += bytes->size();
                            taken = self->Take(*stream, read, *bytes);
                          } else {
                            self->Withdraw(*read);
                          }
                          if (!taken.ok()) return self->End(*stream, taken);
                          self->Advance(stream);
                        });
                      });
}

// Announcements are in the order of the windows, and of the chunks in them.
absl::Status BootStreams::Worker::TakeChunks(Stream& stream, const BootTable::Window& window,
                                             std::string_view stored, Read& read, size_t* next) {
  ASSIGN_OR_RETURN(std::vector<BootChunk> chunks, UnpackBootWindow(window, stored, stream.tables));
  for (BootChunk& chunk : chunks) {
    while (*next < read.announced.size() && read.announced[*next].second.empty()) ++*next;
    if (*next == read.announced.size()) break;
    auto& [blob, announced] = read.announced[*next];
    if (blob != stream.blobs[chunk.layer] || announced.front().chunk != chunk.chunk) continue;
    filler_->engine().Bring(blob, announced.front(), std::move(chunk.bytes));
    announced.pop_front();
    ++counters_.chunks;
    ++stream.chunks_brought;
  }
  return absl::OkStatus();
}

absl::Status BootStreams::Worker::TakePages(Stream& stream, const BootTable::Window& window,
                                            std::string_view stored, Read& read) {
  ASSIGN_OR_RETURN(const std::string content, UnpackBootPages(window, stored));
  std::string_view rest = content;
  for (const ChunkRun& run : window.runs) {
    const std::string_view bytes = rest.substr(0, run.count * kBootPageBytes);
    rest.remove_prefix(bytes.size());
    const std::shared_ptr<LayerBlob>& blob = stream.blobs[run.layer];
    while (!read.pages.empty() && read.pages.front().first == blob) {
      const FillEngine::AnnouncedPages& announced = read.pages.front().second;
      const uint64_t first = announced.pages.first;
      if (first < run.first || first >= uint64_t{run.first} + run.count) break;
      filler_->engine().BringPages(blob, announced,
                                   bytes.substr((first - run.first) * kBootPageBytes,
                                                announced.pages.count * kBootPageBytes));
      counters_.pages += announced.pages.count;
      stream.pages_brought += announced.pages.count;
      read.pages.pop_front();
    }
  }
  return absl::OkStatus();
}

absl::Status BootStreams::Worker::Take(Stream& stream, const std::shared_ptr<Read>& read,
                                       std::string_view bytes) {
  absl::Status status;
  size_t next = 0;  // of read->announced
  for (const BootTable::Window* window : read->windows) {
    std::string_view stored = bytes;
    stored.remove_prefix(std::min<uint64_t>(window->offset - read->offset, stored.size()));
    stored = stored.substr(0, window->stored_bytes);
    status = window->pages.has_value() ? TakePages(stream, *window, stored, *read)
                                       : TakeChunks(stream, *window, stored, *read, &next);
    if (!status.ok()) break;
    SLACKER_FAILPOINT("boot.window");
  }
  Withdraw(*read);
  return status;
}

void BootStreams::Worker::Withdraw(Read& read) {
  for (auto& [blob, announced] : read.announced) {
    if (!announced.empty()) filler_->engine().Withdraw(blob, announced);
  }
  read.announced.clear();
  for (const auto& [blob, pages] : read.pages) filler_->engine().WithdrawPages(blob, pages);
  read.pages.clear();
}

void BootStreams::Worker::Abandon(const std::shared_ptr<Stream>& stream) {
  for (const std::shared_ptr<Read>& read : stream->reads) Withdraw(*read);
  stream->reads.clear();
}

}  // namespace slacker
