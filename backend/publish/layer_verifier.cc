#include "backend/publish/layer_verifier.h"

#include <algorithm>
#include <string>
#include <utility>

#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "backend/store/names.h"
#include "backend/store/store.h"

namespace slacker {
namespace {

// Chunks that are fetched together; two such windows are held at most.
constexpr uint64_t kWindowBytes = 4 << 20;

// Neighbouring chunks on their way. Thread-safe; waits for its fetches when it goes.
class Window {
 public:
  Window(const StoreReader& reader, const Layer& layer, const Locations& locations, uint32_t first)
      : first_(first) {
    uint32_t end = first;
    for (uint64_t bytes = 0; end < layer.chunks.size() && bytes < kWindowBytes; ++end) {
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

// All chunks of a layer, the next ones always on their way; remembers which have been looked at.
// Thread-compatible.
class ChunkStream {
 public:
  ChunkStream(const StoreReader* reader, const Layer* layer, const Locations* locations)
      : reader_(reader), layer_(layer), locations_(locations), seen_(layer->chunks.size()) {}

  // Valid until the call after the next.
  const absl::StatusOr<std::string>& Get(uint32_t chunk) {
    if (current_ == nullptr || !current_->Has(chunk)) {
      current_ = next_ != nullptr && next_->Has(chunk) ? std::move(next_) : Fetch(chunk);
      next_ = current_->end() < layer_->chunks.size() ? Fetch(current_->end()) : nullptr;
    }
    seen_[chunk] = true;
    return current_->Get(chunk);
  }
  bool Seen(uint32_t chunk) const { return seen_[chunk]; }

 private:
  std::unique_ptr<Window> Fetch(uint32_t first) const {
    return std::make_unique<Window>(*reader_, *layer_, *locations_, first);
  }

  const StoreReader* const reader_;
  const Layer* const layer_;
  const Locations* const locations_;
  std::unique_ptr<Window> current_;
  std::unique_ptr<Window> next_;
  std::vector<bool> seen_;
};

}  // namespace

bool IsDamage(const absl::Status& status) {
  return status.code() == absl::StatusCode::kDataLoss ||
         status.code() == absl::StatusCode::kNotFound ||
         status.code() == absl::StatusCode::kInvalidArgument ||
         status.code() == absl::StatusCode::kResourceExhausted;
}

absl::Status LayerVerifier::CheckChain(const Digest& chain_id) {
  const absl::StatusOr<Manifest> manifest = reader_.ReadManifest(chain_id);
  RETURN_IF_ERROR(manifest.status());
  return CheckManifest(*manifest);
}

absl::Status LayerVerifier::CheckManifest(const Manifest& manifest) {
  ++report_.manifests;
  for (const ManifestLayer& layer : manifest.layers) {
    if (!checked_.insert(layer.record).second) continue;
    ++report_.layers;
    RETURN_IF_ERROR(CheckLayer(layer));
  }
  return absl::OkStatus();
}

absl::Status LayerVerifier::CheckLooseRecord(const Digest& record) {
  if (!checked_.insert(record).second) return absl::OkStatus();
  ++report_.loose_records;
  const absl::StatusOr<DecodedRecord> decoded = reader_.ReadLayer(record);
  if (!decoded.ok()) return Note(RecordName(record), decoded.status());
  absl::StatusOr<TarPartReader> tar = reader_.OpenTarPart(record, *decoded);
  const absl::Status read = tar.ok() ? tar->Finish() : tar.status();
  if (!absl::IsNotFound(read)) RETURN_IF_ERROR(Note(TarName(record), read));
  const absl::Status locations =
      reader_.ReadLocations(record, decoded->layer.chunks.size()).status();
  return absl::IsNotFound(locations) ? absl::OkStatus() : Note(LocationsName(record), locations);
}

absl::Status LayerVerifier::Note(const std::string& object, const absl::Status& status) {
  if (status.ok() || !IsDamage(status)) return status;
  report_.damages.push_back({object, Message(status)});
  return absl::OkStatus();
}

absl::Status LayerVerifier::CheckLayer(const ManifestLayer& expected) {
  const std::string name = expected.record.ToHex();
  absl::StatusOr<DecodedRecord> record = reader_.ReadLayer(expected.record);
  if (!record.ok()) return Note(RecordName(expected.record), record.status());
  Layer& layer = record->layer;
  if (layer.diff_id != expected.diff_id) {
    return Note(RecordName(expected.record),
                DataLoss("it is the record of another layer, " + layer.diff_id.ToString()));
  }
  absl::StatusOr<TarPartReader> tar = reader_.OpenTarPart(expected.record, *record);
  RETURN_IF_ERROR(Note(TarName(expected.record), tar.status()));
  // What remains to be looked at is content.
  layer.nodes = {};
  layer.entries = {};
  layer.texts = {};
  const absl::StatusOr<Locations> locations =
      reader_.ReadLocations(expected.record, layer.chunks.size());
  if (!locations.ok()) return Note(LocationsName(expected.record), locations.status());
  return CheckContent(name, layer, tar.ok() ? &*tar : nullptr, *locations);
}

absl::Status LayerVerifier::CheckContent(const std::string& name, const Layer& layer,
                                         TarPartReader* tar, const Locations& locations) {
  ChunkStream chunks(&reader_, &layer, &locations);
  uint64_t bad_chunks = 0;
  // A damaged chunk is reported and stood in for, so that those behind it are looked at too.
  auto look = [&](uint32_t index) -> absl::StatusOr<std::string> {
    const bool first_look = !chunks.Seen(index);
    const absl::StatusOr<std::string>& content = chunks.Get(index);
    const Chunk& chunk = layer.chunks[index];
    if (first_look) {
      ++report_.chunks;
      report_.content_bytes += chunk.size_bytes;
    }
    if (content.ok()) return *content;
    ++bad_chunks;
    if (!first_look && IsDamage(content.status())) return std::string(chunk.size_bytes, '\0');
    RETURN_IF_ERROR(
        Note("chunk " + chunk.digest.ToString() + " of records/" + name, content.status()));
    return std::string(chunk.size_bytes, '\0');
  };
  if (tar != nullptr) RETURN_IF_ERROR(CheckTar(name, layer, *tar, look, &bad_chunks));
  for (uint32_t i = 0; i < layer.chunks.size(); ++i) {
    if (!chunks.Seen(i)) RETURN_IF_ERROR(look(i).status());
  }
  return absl::OkStatus();
}

absl::Status LayerVerifier::CheckTar(const std::string& name, const Layer& layer,
                                     TarPartReader& tar, const ChunkReader& look,
                                     const uint64_t* bad_chunks) {
  const absl::StatusOr<Digest> rebuilt =
      RebuildTar(layer, tar, look, [](std::string_view) { return absl::OkStatus(); });
  if (!rebuilt.ok()) return Note("tars/" + name, rebuilt.status());
  if (*rebuilt == layer.diff_id || *bad_chunks > 0) return absl::OkStatus();
  return Note("tars/" + name,
              DataLoss("the tar that it gives back has the digest " + rebuilt->ToString() +
                       " instead of " + layer.diff_id.ToString()));
}

}  // namespace slacker
