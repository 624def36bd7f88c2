#include "backend/publish/publisher.h"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/clock.h"
#include "backend/base/failpoint.h"
#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/erofs/image_bound.h"
#include "backend/erofs/image_builder.h"
#include "backend/erofs/image_writer.h"
#include "backend/publish/boot_publisher.h"
#include "backend/source/decompress.h"
#include "backend/source/read_ahead.h"
#include "backend/store/blob_head.h"

namespace slacker {
namespace {

constexpr uint64_t kReadAheadBytes = 8 << 20;
// Maintenance that removes something each time again is not what a publication can wait for.
constexpr int kMaxAttempts = 8;
constexpr int64_t kNanosPerSecond = 1'000'000'000;

// Counts the bytes of a blob, and keeps the first of them. `head` is its own while it lives.
class BlobWatch final : public ByteSource {
 public:
  BlobWatch(std::unique_ptr<ByteSource> inner, std::atomic<uint64_t>* count, std::string* head)
      : inner_(std::move(inner)), count_(count), head_(head) {
    head_->clear();
  }
  absl::StatusOr<std::string_view> Next() override {
    absl::StatusOr<std::string_view> bytes = inner_->Next();
    if (bytes.ok()) {
      *count_ += bytes->size();
      *head_ += bytes->substr(0, kHeadBytes - head_->size());
    }
    return bytes;
  }

 private:
  std::unique_ptr<ByteSource> inner_;
  std::atomic<uint64_t>* const count_;
  std::string* const head_;
};

// What a layer takes in memory, with an index of its entries, and where its chunks are.
uint64_t TableBytes(const LayerTotals& layer) {
  constexpr uint64_t kIndexBytes = 3 * sizeof(uint32_t);
  return layer.nodes * sizeof(Node) + layer.entries * (sizeof(Entry) + kIndexBytes) +
         layer.files * sizeof(File) + layer.chunks * (sizeof(Chunk) + sizeof(ChunkLocation)) +
         layer.name_bytes + layer.target_bytes + layer.xattr_bytes;
}

// One publication; one thread.
class Publication {
 public:
  Publication(ImageSource* source, std::shared_ptr<Backend> backend, const PublishOptions& options,
              const PublishObserver& observer)
      : source_(source), backend_(std::move(backend)), options_(options), observer_(observer) {}

  absl::StatusOr<PublishedImage> Run() {
    ASSIGN_OR_RETURN(image_, ResolveImage(*source_, options_.platform));
    repository_ = options_.private_repository;
    if (repository_.empty() && !options_.for_everybody) {
      ASSIGN_OR_RETURN(repository_, source_->PrivateRepository());
    }
    SetLayers();
    absl::StatusOr<PublishedImage> published = Attempt();
    // What maintenance was taking away is not found the next time, but stored.
    for (int again = 1; absl::IsAborted(published.status()) && again < kMaxAttempts; ++again) {
      writer_->EndLayers();
      outrun_.push_back(std::move(writer_));
      published = Attempt();
    }
    if (absl::IsAborted(published.status())) {
      return Unavailable(Message(published.status()) + ", try again");
    }
    return published;
  }

 private:
  std::string DescribeLayer(size_t i) const {
    return "layer " + std::to_string(i + 1) + " of " + std::to_string(image_.layers.size()) + " (" +
           image_.layers[i].digest.ToString() + ")";
  }

  void Report() {
    progress_.downloaded_bytes = downloaded_;
    progress_.stored_bytes = writer_->stored_bytes();
    for (const auto& writer : outrun_) progress_.stored_bytes += writer->stored_bytes();
    if (observer_) observer_(progress_);
  }

  void SetLayers() {
    progress_.layers = image_.layers.size();
    layers_.resize(progress_.layers);
    known_.resize(progress_.layers);
    added_.resize(progress_.layers);
    first_.resize(progress_.layers);
    opened_.resize(progress_.layers);
    heads_.resize(progress_.layers);
    totals_.resize(progress_.layers);
    for (size_t i = 0; i < progress_.layers; ++i) {
      layers_[i].diff_id = image_.diff_ids[i];
      first_[i] = std::find(image_.diff_ids.begin(), image_.diff_ids.end(), image_.diff_ids[i]) -
                  image_.diff_ids.begin();
    }
  }

  absl::StatusOr<PublishedImage> Attempt() {
    ASSIGN_OR_RETURN(writer_, StoreWriter::Open(backend_, options_.store));
    RETURN_IF_ERROR(FindKnownLayers());
    for (size_t i = 0; i < image_.layers.size(); ++i) {
      if (first_[i] != i) {
        layers_[i] = layers_[first_[i]];
        totals_[i] = totals_[first_[i]];
      } else if (!known_[i]) {
        RETURN_IF_ERROR(Annotate(AddLayer(i), DescribeLayer(i)));
      }
      ++progress_.layers_done;
      Report();
    }
    writer_->EndLayers();
    (void)malloc_trim(0);  // the boot pack needs as much again
    RETURN_IF_ERROR(CheckMerge());
    SLACKER_FAILPOINT("publish.before_manifests");
    RETURN_IF_ERROR(WriteBootPack());
    PublishedImage published{.entry = MakeEntry(), .repository = repository_, .totals = {}};
    const absl::Status committed =
        writer_->CommitManifests(layers_, image_.platform, published.entry, repository_);
    // Something of one of the layers is nowhere any more, whoever added that.
    doubted_ = absl::IsAborted(committed);
    RETURN_IF_ERROR(committed);
    SLACKER_FAILPOINT("publish.done");
    Report();
    published.totals = progress_;
    return published;
  }

  absl::Status FindKnownLayers() {
    progress_.layers_done = progress_.layers_reused = progress_.download_bytes = 0;
    for (size_t i = 0; i < progress_.layers; ++i) {
      if (doubted_ && added_[i]) {
        ASSIGN_OR_RETURN(added_[i], writer_->HasLayer(layers_[i]));
      }
      if (first_[i] != i || added_[i]) {
        known_[i] = true;
        progress_.layers_reused += first_[i] != i ? 1 : 0;
        continue;
      }
      const Digest chain = ChainId(std::span(image_.diff_ids).first(i + 1));
      ASSIGN_OR_RETURN(const auto known,
                       writer_->FindRecord(chain, repository_, image_.diff_ids[i]));
      known_[i] = known.has_value();
      if (known_[i]) {
        layers_[i].record = known->record;
        totals_[i] = known->totals;
        ++progress_.layers_reused;
      } else {
        progress_.download_bytes += image_.layers[i].size_bytes;
      }
    }
    return absl::OkStatus();
  }

  // Starts the download, unless it runs already.
  absl::Status OpenLayer(size_t i) {
    if (opened_[i] != nullptr) return absl::OkStatus();
    // Nothing real is compressed to more than it was: who announces that would keep us busy for ever.
    if (image_.layers[i].size_bytes > options_.max_layer_tar_bytes) {
      return ResourceExhausted("layer " + image_.layers[i].digest.ToString() + " has " +
                               std::to_string(image_.layers[i].size_bytes) +
                               " bytes, more than the limit of " +
                               std::to_string(options_.max_layer_tar_bytes));
    }
    ASSIGN_OR_RETURN(std::unique_ptr<ByteSource> blob, source_->OpenBlob(image_.layers[i]));
    blob = std::make_unique<BlobWatch>(std::move(blob), &downloaded_, &heads_[i]);
    opened_[i] =
        ReadAhead(Decompress(std::move(blob), options_.max_layer_tar_bytes), kReadAheadBytes);
    return absl::OkStatus();
  }

  // The next layer's download begins while this one is worked on. A failure is met again, and told,
  // when that layer's turn comes.
  void OpenNextLayer(size_t i) {
    for (size_t next = i + 1; next < image_.layers.size(); ++next) {
      if (known_[next]) continue;
      (void)OpenLayer(next);
      return;
    }
  }

  absl::Status AddLayer(size_t i) {
    RETURN_IF_ERROR(OpenLayer(i));
    OpenNextLayer(i);
    SLACKER_FAILPOINT("publish.layer_opened");
    absl::StatusOr<LayerTables> layer =
        ReadLayerTar(*opened_[i], options_.chunk_size, options_.tar,
                     [this](const Digest& digest, std::string_view content) {
                       Report();
                       return writer_->AddChunk(digest, content);
                     });
    opened_[i].reset();
    RETURN_IF_ERROR(layer.status());
    if (layer->diff_id != image_.diff_ids[i]) {
      return DataLoss("its tar has the digest " + layer->diff_id.ToString() +
                      ", but the image's configuration says " + image_.diff_ids[i].ToString());
    }
    SLACKER_FAILPOINT("publish.layer_read");
    ASSIGN_OR_RETURN(layers_[i].record, writer_->AddLayer(*layer));
    SLACKER_FAILPOINT("publish.layer_added");
    // A hint for who exports it: without it the digest of the blob may not come back. Not of a plain tar.
    if (image_.layers[i].digest != image_.diff_ids[i]) {
      RETURN_IF_ERROR(
          WriteBlobHead(*backend_, layers_[i].record, image_.layers[i].digest, heads_[i]));
    }
    added_[i] = true;
    totals_[i] = layer->totals;
    return absl::OkStatus();
  }

  // Whether nodes can build the tree of every prefix: each gets a manifest, and may have containers.
  // Only those near the limit are merged to find out: for any other, sums over the layers tell.
  absl::Status CheckMerge() const {
    if (ErofsBound(totals_).ok()) return absl::OkStatus();
    const StoreReader reader(backend_);
    std::vector<Layer> layers;
    std::vector<const Layer*> pointers;
    std::vector<LayerTotals> totals;
    layers.reserve(layers_.size());
    std::optional<uint64_t> merged;  // the most that the tree so far can have, once it was merged
    for (size_t i = 0; i < layers_.size(); ++i) {
      ASSIGN_OR_RETURN(DecodedRecord record, reader.ReadLayer(layers_[i].record));
      layers.push_back(std::move(record.layer));
      pointers.push_back(&layers.back());
      totals.push_back(totals_[i]);
      if (ErofsBound(totals).ok()) continue;
      // A layer adds no more than it has: an image of many small ones is not merged for each.
      const absl::StatusOr<uint64_t> more = ErofsBound({totals_[i]});
      if (merged.has_value() && more.ok() && *merged + *more <= erofs::kMaxImageBytes) {
        *merged += *more;
        continue;
      }
      const absl::StatusOr<uint64_t> size = CheckErofsImage(pointers);
      RETURN_IF_ERROR(Annotate(size.status(), "merging the layers up to " + DescribeLayer(i)));
      merged = *size;
    }
    return absl::OkStatus();
  }

  absl::Status WriteBootPack() {
    uint64_t table_bytes = 0;
    for (const LayerTotals& layer : totals_) table_bytes += TableBytes(layer);
    if (table_bytes > options_.max_guess_table_bytes) {
      Log(LogLevel::kWarning,
          "an image of so many files is published without a boot pack, ignoring",
          {{"image", source_->Name()}, {"table_bytes", std::to_string(table_bytes)}});
      return absl::OkStatus();
    }
    std::vector<Digest> records;
    for (const ManifestLayer& layer : layers_) records.push_back(layer.record);
    const std::optional<SigningKey>& key = options_.store.key;
    return PublishBootPack(backend_, ChainId(image_.diff_ids), records, image_.config_json,
                           key.has_value() ? &*key : nullptr, options_.store.trusted_keys);
  }

  ImageEntry MakeEntry() const {
    ImageEntry entry;
    entry.name = options_.name.empty() ? source_->Name() : options_.name;
    entry.platform = image_.platform;
    entry.chain_id = ChainId(image_.diff_ids);
    entry.manifest_digest = image_.manifest_digest.ToString();
    for (const Descriptor& layer : image_.layers) entry.compressed_bytes += layer.size_bytes;
    for (const LayerTotals& layer : totals_) entry.unpacked_bytes += layer.tar_bytes;
    entry.published_unix_seconds = SystemClock().WallNanos() / kNanosPerSecond;
    entry.config_json = image_.config_json;
    entry.manifest_json = image_.manifest_json;
    return entry;
  }

  ImageSource* const source_;
  const std::shared_ptr<Backend> backend_;
  const PublishOptions& options_;
  const PublishObserver& observer_;
  ResolvedImage image_;
  std::string repository_;  // whose readers alone may have the image; "" = anybody
  std::unique_ptr<StoreWriter> writer_;
  std::vector<std::unique_ptr<StoreWriter>> outrun_;  // by maintenance; they keep what they added
  std::vector<ManifestLayer> layers_;                 // parallel to image_.layers, as the next four
  std::vector<bool> known_;                           // need not be downloaded
  std::vector<bool> added_;                           // by this publication
  bool doubted_ = false;                              // whether all of those are still there
  std::vector<std::string> heads_;  // how the blobs begin; before opened_, whose threads fill it
  std::vector<size_t> first_;       // the lowest layer of the same diff ID: itself, mostly
  std::atomic<uint64_t> downloaded_{0};              // before opened_, whose threads count
  std::vector<std::unique_ptr<ByteSource>> opened_;  // downloads under way
  std::vector<LayerTotals> totals_;                  // parallel to image_.layers
  PublishProgress progress_;
};

}  // namespace

absl::StatusOr<PublishedImage> Publish(ImageSource& source, const std::shared_ptr<Backend>& backend,
                                       const PublishOptions& options,
                                       const PublishObserver& observer) {
  Publication publication(&source, backend, options, observer);
  absl::StatusOr<PublishedImage> published = publication.Run();
  if (!published.ok()) {
    source.Cancel();  // downloads of further layers may be waiting to try again
    return Annotate(published.status(), source.Name());
  }
  return published;
}

}  // namespace slacker
