#include "backend/view/image_view.h"

#include <algorithm>
#include <string>
#include <utility>

#include "backend/base/status.h"
#include "backend/store/layer_content.h"

namespace slacker {
namespace {

constexpr int kMaxSymlinks = 40;  // as Linux has it

// The child of a directory, or kNone.
uint32_t FindChild(const erofs::ImageTree& tree, uint32_t directory, std::string_view name) {
  const auto children = tree.Children(tree.inodes[directory]);
  const auto found = std::lower_bound(
      children.begin(), children.end(), name,
      [](const erofs::TreeEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  return found != children.end() && found->name == name ? found->inode : kNone;
}

absl::Status PutZeros(uint64_t count, const ImageView::ContentSink& sink) {
  static const std::string zeros(64 * 1024, '\0');
  while (count > 0) {
    const uint64_t now = std::min<uint64_t>(count, zeros.size());
    RETURN_IF_ERROR(sink(std::string_view(zeros).substr(0, now)));
    count -= now;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageView>> ImageView::Open(const StoreReader* reader,
                                                           const Digest& chain_id) {
  std::unique_ptr<ImageView> view(new ImageView(reader));
  ASSIGN_OR_RETURN(view->manifest_, reader->ReadManifest(chain_id));
  view->layers_.reserve(view->manifest_.layers.size());
  for (const ManifestLayer& expected : view->manifest_.layers) {
    ASSIGN_OR_RETURN(DecodedRecord record, reader->ReadLayer(expected.record));
    if (record.layer.diff_id != expected.diff_id) {
      return DataLoss("record " + expected.record.ToHex() + " is that of another layer, " +
                      record.layer.diff_id.ToString());
    }
    view->layers_.push_back(std::move(record.layer));
  }
  std::vector<const Layer*> layers;
  uint64_t entries = 0;
  for (const Layer& layer : view->layers_) {
    layers.push_back(&layer);
    entries += layer.entries.size();
  }
  if (entries >= kNone) return ResourceExhausted("the image has too many entries");
  view->tree_ = erofs::MergeLayers(layers);
  return view;
}

absl::StatusOr<uint32_t> ImageView::Resolve(std::string_view path, bool follow) const {
  uint32_t at = 0;
  int symlinks = 0;
  std::string left(path);
  while (true) {
    if (left.size() > kMaxPathBytes) return ResourceExhausted("the path is too long");
    const size_t begin = left.find_first_not_of('/');
    if (!left.empty() && begin != 0 && !tree_.inodes[at].is_directory) {
      return FailedPrecondition(std::string(path) + ": goes through what is no directory");
    }
    if (begin == std::string::npos) return at;
    const size_t end = std::min(left.find('/', begin), left.size());
    const std::string name = left.substr(begin, end - begin);
    left.erase(0, end);
    if (!tree_.inodes[at].is_directory) {
      return FailedPrecondition(std::string(path) + ": goes through what is no directory");
    }
    if (name == ".") continue;
    if (name == "..") {
      at = tree_.inodes[at].parent;
      continue;
    }
    const uint32_t child = FindChild(tree_, at, name);
    if (child == kNone) return NotFound(std::string(path) + ": no such file in the image");
    const Node& node = *tree_.inodes[child].node;
    if (node.type != NodeType::kSymlink || (left.empty() && !follow)) {
      at = child;
      continue;
    }
    if (++symlinks > kMaxSymlinks) {
      return FailedPrecondition(std::string(path) + ": too many symlinks");
    }
    if (node.target.starts_with('/')) at = 0;
    left.insert(0, node.target);
  }
}

ImageView::FileRef ImageView::FileOf(const erofs::TreeInode& inode) const {
  if (inode.node->type != NodeType::kRegular || inode.node->file == kNone) return {};
  const Layer& layer = layers_[inode.layer];
  return {&layer, &layer.files[inode.node->file]};
}

uint64_t ImageView::SizeOf(const erofs::TreeInode& inode) const {
  if (inode.node->type == NodeType::kSymlink) return inode.node->target.size();
  const FileRef ref = FileOf(inode);
  return ref.file == nullptr ? 0 : ref.file->size_bytes;
}

absl::Status ImageView::Read(uint32_t inode, const ContentSink& sink) const {
  const erofs::TreeInode& wanted = tree_.inodes[inode];
  if (wanted.node->type != NodeType::kRegular) return FailedPrecondition("not a regular file");
  const FileRef ref = FileOf(wanted);
  if (ref.file == nullptr) return absl::OkStatus();
  const Layer& layer = *ref.layer;
  const uint32_t end = ref.file->first_chunk + ref.file->chunk_count;
  const Digest& record = manifest_.layers[wanted.layer].record;
  uint64_t at = 0;
  if (ref.file->chunk_count > 0) {
    ASSIGN_OR_RETURN(Locations locations, reader_->ReadLocations(record, layer.chunks.size()));
    LayerContent content(reader_, record, &layer, std::move(locations), end);
    for (uint32_t i = ref.file->first_chunk; i < end; ++i) {
      const uint64_t start = uint64_t{layer.chunks[i].index} * layer.chunk_size;
      RETURN_IF_ERROR(PutZeros(start - at, sink));
      const absl::StatusOr<std::string>& bytes = content.Get(i);
      RETURN_IF_ERROR(bytes.status());
      RETURN_IF_ERROR(sink(*bytes));
      at = start + bytes->size();
    }
  }
  return PutZeros(ref.file->size_bytes - at, sink);
}

}  // namespace slacker
