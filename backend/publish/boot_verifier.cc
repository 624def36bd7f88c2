#include "backend/publish/boot_verifier.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/status.h"
#include "backend/record/layer_codec.h"
#include "backend/store/boot_pack.h"
#include "backend/store/boot_writer.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

absl::StatusOr<std::string> ReadPart(ReadBackend& backend, const std::string& name, uint64_t offset,
                                     uint64_t size) {
  ASSIGN_OR_RETURN(std::string bytes, backend.Read(name, offset, size));
  if (bytes.size() != size) return DataLoss("it is cut short");
  return bytes;
}

absl::StatusOr<BootTable> ReadTable(ReadBackend& backend, const std::string& name,
                                    const Digest& chain_id) {
  ASSIGN_OR_RETURN(const std::string beginning, backend.Read(name, 0, kMaxBootTableBytes));
  if (beginning.size() < kBootHeadBytes) return DataLoss("it is cut short");
  ASSIGN_OR_RETURN(BootTable table, DecodeBootTable(beginning, chain_id));
  ASSIGN_OR_RETURN(const ObjectInfo info, backend.Stat(name));
  if (info.size_bytes != table.pack_bytes) return DataLoss("it has another size than it says");
  return table;
}

// A layer without its tree, by the record in the pack, or else by the store's.
absl::StatusOr<Layer> ReadLayerOf(const StoreReader& reader, const std::string& name,
                                  const BootTable::Record& record) {
  if (record.bytes == 0) {
    ASSIGN_OR_RETURN(DecodedRecord decoded, reader.ReadLayer(record.record));
    decoded.layer.DropTree();
    return std::move(decoded.layer);
  }
  if (record.bytes > kMaxRecordBytes) return DataLoss("a record in it is too large");
  std::string stored;
  // A read of a backend has a limit.
  constexpr uint64_t kStep = 16 << 20;
  for (uint64_t done = 0; done < record.bytes; done += kStep) {
    ASSIGN_OR_RETURN(const std::string part, ReadPart(reader.backend(), name, record.offset + done,
                                                      std::min(kStep, record.bytes - done)));
    stored += part;
  }
  ASSIGN_OR_RETURN(Layer layer, DecodeRecordObject(stored, record.record));
  layer.DropTree();
  return layer;
}

// Whether the pages of a window are those of the chunks.
absl::Status VerifyPages(ChainReader& chain, const BootTable::Window& window,
                         std::string_view stored) {
  ASSIGN_OR_RETURN(const std::string content, UnpackBootPages(window, stored));
  std::string_view rest = content;
  for (const ChunkRun& run : window.runs) {
    auto right = chain.ReadPages(run);
    if (absl::IsInvalidArgument(right.status())) return DataLoss(Message(right.status()));
    RETURN_IF_ERROR(right.status());
    if (rest.substr(0, right->size()) != *right) {
      return DataLoss("its pages are not those of the image");
    }
    rest.remove_prefix(right->size());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BootTable> VerifyBootPack(const StoreReader& reader, const Digest& chain_id) {
  const std::string name = BootPackName(chain_id);
  ASSIGN_OR_RETURN(BootTable table, ReadTable(reader.backend(), name, chain_id));
  std::vector<Layer> layers;
  for (const BootTable::Record& record : table.records) {
    ASSIGN_OR_RETURN(layers.emplace_back(), ReadLayerOf(reader, name, record));
  }
  std::vector<const TableVector<Chunk>*> tables;
  for (const Layer& layer : layers) tables.push_back(&layer.chunks);
  std::vector<ChainLayer> chain_layers;
  for (size_t i = 0; i < layers.size(); ++i) {
    chain_layers.push_back({table.records[i].record, &layers[i]});
  }
  ChainReader chain(&reader, std::move(chain_layers));
  for (const BootTable::Window& window : table.windows) {
    ASSIGN_OR_RETURN(const std::string stored,
                     ReadPart(reader.backend(), name, window.offset, window.stored_bytes));
    if (window.pages.has_value()) {
      RETURN_IF_ERROR(VerifyPages(chain, window, stored));
    } else {
      RETURN_IF_ERROR(UnpackBootWindow(window, stored, tables).status());
    }
  }
  return table;
}

absl::Status VerifyBootSignature(ReadBackend& backend, const Digest& chain_id,
                                 const std::vector<PublicKey>& keys) {
  ASSIGN_OR_RETURN(const std::string beginning,
                   backend.Read(BootPackName(chain_id), 0, kMaxBootTableBytes));
  if (beginning.size() < kBootHeadBytes) return DataLoss("it is cut short");
  RETURN_IF_ERROR(DecodeBootTable(beginning, chain_id).status());
  return CheckBootSignature(beginning, keys);
}

}  // namespace slacker
