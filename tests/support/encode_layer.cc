#include "tests/support/encode_layer.h"

#include "backend/base/status.h"
#include "backend/record/layer_codec.h"

namespace slacker::testing {

absl::StatusOr<LayerTables> EncodeTables(const Layer& layer) {
  RETURN_IF_ERROR(ValidateLayer(layer));
  if (layer.tar_pieces.empty() && layer.tar_size_bytes != 0) {
    return DataLoss("layer without its tar part");
  }
  LayerEncoder encoder(layer.chunk_size);
  for (const Node& node : layer.nodes) encoder.AddNode(node);
  for (const Entry& entry : layer.entries) encoder.AddEntry(entry.parent, entry.node, entry.name);
  for (const File& file : layer.files) {
    encoder.BeginFile(file.size_bytes);
    for (uint32_t i = file.first_chunk; i < file.first_chunk + file.chunk_count; ++i) {
      const Chunk& chunk = layer.chunks[i];
      encoder.AddChunk(chunk.digest, chunk.index, chunk.size_bytes);
    }
    encoder.EndFile();
  }
  for (const TarPiece& piece : layer.tar_pieces) encoder.AddTarPiece(piece);
  encoder.AddTarLiteral(layer.tar_literals.ToString());
  return encoder.Finish(layer.diff_id, layer.tar_size_bytes);
}

absl::StatusOr<LayerObjects> EncodeLayer(const Layer& layer) {
  ASSIGN_OR_RETURN(const LayerTables tables, EncodeTables(layer));
  ASSIGN_OR_RETURN(const EncodedLayer encoded, slacker::EncodeLayer(tables));
  return LayerObjects{encoded.record.digest, encoded.record.ToString(), encoded.tar.digest,
                      encoded.tar.ToString()};
}

}  // namespace slacker::testing
