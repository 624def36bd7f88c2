#include "backend/view/image_usage.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "backend/base/status.h"

namespace slacker {
namespace {

// A stored chunk that a record uses.
struct Place {
  uint64_t offset = 0;
  uint32_t pack = 0;    // number of its name
  uint32_t record = 0;  // number
  uint32_t stored_bytes = 0;
};

class Measurement {
 public:
  explicit Measurement(const StoreReader& reader) : reader_(reader) {}

  std::vector<absl::StatusOr<ImageUsage>> Run(const std::vector<Digest>& chains) {
    usages_.reserve(chains.size());
    for (size_t i = 0; i < chains.size(); ++i) usages_.push_back(Load(chains[i], i));
    CountPlaces();
    for (const auto& [records, bytes] : bytes_by_records_) Share(records, bytes);
    return std::move(usages_);
  }

 private:
  absl::StatusOr<ImageUsage> Load(const Digest& chain, size_t image) {
    ASSIGN_OR_RETURN(const Manifest manifest, reader_.ReadManifest(chain));
    std::vector<uint32_t> records;
    for (const ManifestLayer& layer : manifest.layers) {
      ASSIGN_OR_RETURN(const uint32_t record, LoadRecord(layer.record));
      records.push_back(record);
    }
    std::sort(records.begin(), records.end());
    records.erase(std::unique(records.begin(), records.end()), records.end());
    for (const uint32_t record : records) images_by_record_[record].push_back(image);
    ImageUsage usage;
    usage.layers = manifest.layers.size();
    return usage;
  }

  // The number of a record whose places are known.
  absl::StatusOr<uint32_t> LoadRecord(const Digest& digest) {
    if (const auto known = records_.find(digest); known != records_.end()) return known->second;
    ASSIGN_OR_RETURN(const Locations locations, reader_.ReadLocations(digest, std::nullopt));
    const auto number = static_cast<uint32_t>(images_by_record_.size());
    records_.emplace(digest, number);
    images_by_record_.emplace_back();
    std::vector<uint32_t> packs;
    for (const std::string& pack : locations.packs) {
      packs.push_back(packs_.emplace(pack, static_cast<uint32_t>(packs_.size())).first->second);
    }
    for (const ChunkLocation& at : locations.chunks) {
      places_.push_back({at.offset, packs[at.pack], number, at.stored_bytes});
    }
    return number;
  }

  // Sums up the places by the records that use them.
  void CountPlaces() {
    std::sort(places_.begin(), places_.end(), [](const Place& a, const Place& b) {
      return std::tie(a.pack, a.offset, a.record) < std::tie(b.pack, b.offset, b.record);
    });
    std::vector<uint32_t> records;
    for (size_t i = 0, end = 0; i < places_.size(); i = end) {
      records.clear();
      for (end = i; end < places_.size() && places_[end].pack == places_[i].pack &&
                    places_[end].offset == places_[i].offset;
           ++end) {
        if (records.empty() || records.back() != places_[end].record) {
          records.push_back(places_[end].record);
        }
      }
      bytes_by_records_[records] += places_[i].stored_bytes;
    }
  }

  void Share(const std::vector<uint32_t>& records, uint64_t bytes) {
    std::vector<size_t> images;
    for (const uint32_t record : records) {
      const std::vector<size_t>& more = images_by_record_[record];
      images.insert(images.end(), more.begin(), more.end());
    }
    std::sort(images.begin(), images.end());
    images.erase(std::unique(images.begin(), images.end()), images.end());
    for (const size_t image : images) {
      usages_[image]->stored_bytes += bytes;
      if (images.size() > 1) usages_[image]->shared_bytes += bytes;
    }
  }

  const StoreReader& reader_;
  std::vector<absl::StatusOr<ImageUsage>> usages_;
  std::unordered_map<Digest, uint32_t> records_;
  std::unordered_map<std::string, uint32_t> packs_;
  std::vector<std::vector<size_t>> images_by_record_;
  std::vector<Place> places_;
  std::map<std::vector<uint32_t>, uint64_t> bytes_by_records_;
};

}  // namespace

std::vector<absl::StatusOr<ImageUsage>> MeasureImages(const StoreReader& reader,
                                                      const std::vector<Digest>& chains) {
  return Measurement(reader).Run(chains);
}

}  // namespace slacker
