#include "backend/store/layer_content.h"

#include <utility>
#include <vector>

#include "backend/base/check.h"
#include "backend/base/mutex.h"

namespace slacker {
namespace {

constexpr uint64_t kWindowBytes = 4 << 20;

}  // namespace

// Neighbouring chunks on their way. Thread-safe; waits for its fetches when it goes.
class LayerContent::Window {
 public:
  Window(const StoreReader& reader, const Layer& layer, const Locations& locations, uint32_t first,
         uint32_t limit)
      : first_(first) {
    uint32_t end = first;
    for (uint64_t bytes = 0; end < limit && bytes < kWindowBytes; ++end) {
      bytes += layer.chunks[end].size_bytes;
    }
    count_ = end - first;
    contents_.resize(count_, absl::UnknownError("not fetched"));
    missing_ = count_;
    reader.ReadChunksAsync(layer, locations, first_, count_,
                           [this](uint32_t chunk, absl::StatusOr<std::string> bytes) {
                             MutexLock lock(&mutex_);
                             contents_[chunk - first_] = std::move(bytes);
                             if (--missing_ == 0) arrived_.SignalAll();
                           });
  }
  ~Window() { Wait(); }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  bool Has(uint32_t chunk) const { return chunk >= first_ && chunk - first_ < count_; }
  uint32_t end() const { return first_ + count_; }
  const absl::StatusOr<std::string>& Get(uint32_t chunk) {
    Wait();
    MutexLock lock(&mutex_);
    return contents_[chunk - first_];
  }

 private:
  void Wait() {
    MutexLock lock(&mutex_);
    while (missing_ > 0) arrived_.Wait(&mutex_);
  }

  const uint32_t first_;
  uint32_t count_ = 0;
  Mutex mutex_;
  CondVar arrived_;
  uint32_t missing_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<absl::StatusOr<std::string>> contents_ ABSL_GUARDED_BY(mutex_);
};

LayerContent::LayerContent(const StoreReader* reader, const Digest& record, const Layer* layer,
                           Locations locations, uint32_t end)
    : reader_(reader), record_(record), layer_(layer), locations_(std::move(locations)), end_(end) {
  SLACKER_CHECK(end_ <= layer_->chunks.size(), "chunks of this layer");
}

LayerContent::~LayerContent() = default;

std::unique_ptr<LayerContent::Window> LayerContent::Fetch(uint32_t first) const {
  return std::make_unique<Window>(*reader_, *layer_, locations_, first, end_);
}

const absl::StatusOr<std::string>& LayerContent::Find(uint32_t chunk) {
  if (current_ == nullptr || !current_->Has(chunk)) {
    current_ = next_ != nullptr && next_->Has(chunk) ? std::move(next_) : Fetch(chunk);
    next_ = current_->end() < end_ ? Fetch(current_->end()) : nullptr;
  }
  return current_->Get(chunk);
}

const absl::StatusOr<std::string>& LayerContent::Get(uint32_t chunk) {
  const absl::StatusOr<std::string>& content = Find(chunk);
  if (!absl::IsNotFound(content.status()) || located_again_) return content;
  located_again_ = true;
  absl::StatusOr<Locations> newest = reader_->ReadLocations(record_, layer_->chunks.size());
  if (!newest.ok()) return content;
  current_.reset();
  next_.reset();
  locations_ = *std::move(newest);
  return Find(chunk);
}

}  // namespace slacker
