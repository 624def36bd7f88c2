#include "snapshotter/care/layer_prover.h"

#include <malloc.h>

#include <string>
#include <utility>
#include <vector>

#include "backend/base/log.h"
#include "backend/base/status.h"
#include "backend/layer/record_of_tar.h"
#include "backend/layer/tar_reader.h"

namespace slacker {

LayerProver::LayerProver(Options options)
    : options_(std::move(options)),
      reader_(options_.backend),
      idle_([filler = options_.filler] { return filler->Stats().reads; }, options_.idle,
            options_.busy) {
  thread_ = std::thread([this] {
    TakeTheLastPlace("slk-prove");
    Work();
  });
}

LayerProver::~LayerProver() {
  Stop();
  thread_.join();
}

void LayerProver::Stop() { idle_.Stop(); }

void LayerProver::Work() {
  while (idle_.WaitUntilIdle()) {
    const auto blobs = Unproved();
    if (!blobs.ok()) {
      Log(LogLevel::kWarning, "cannot ask which layers are proved, ignoring",
          {{"error", blobs.status().ToString()}});
      continue;
    }
    for (const BlobRow& blob : *blobs) {
      if (idle_.stopping()) return;
      Consider(blob);
    }
  }
}

absl::StatusOr<std::vector<BlobRow>> LayerProver::Unproved() {
  ASSIGN_OR_RETURN(Txn txn, options_.db->Read());
  return UnprovedBlobs(txn);
}

void LayerProver::Consider(const BlobRow& blob) {
  if (hopeless_.contains(blob.id) || !options_.filler->IsComplete(blob)) return;
  const absl::StatusOr<Proof> proof = Prove(blob);
  // It read a whole layer's tar; glibc would keep the memory for the next one.
  (void)malloc_trim(0);
  absl::Status status = proof.status();
  if (status.ok()) status = Keep(blob, *proof);
  if (status.ok()) {
    if (*proof == Proof::kRefuted) {
      Log(LogLevel::kWarning,
          "a layer is not what its diff ID says; whoever signed it is not to be trusted",
          {{"record", blob.record.ToString()}, {"blob", std::to_string(blob.id)}});
    }
    return;
  }
  // Stopped, or the store does not answer, or the node is short of threads: another time. Otherwise it would be the same then.
  if (absl::IsCancelled(status) || absl::IsUnavailable(status)) return;
  hopeless_.insert(blob.id);
  Log(LogLevel::kWarning, "a layer cannot be proved, ignoring",
      {{"record", blob.record.ToString()}, {"error", Message(status)}});
}

absl::StatusOr<Proof> LayerProver::Prove(const BlobRow& blob) {
  ASSIGN_OR_RETURN(DecodedRecord decoded, reader_.ReadLayer(blob.record));
  Layer& layer = decoded.layer;
  layer.DropTree();  // the tar is made of contents; this may take long
  ASSIGN_OR_RETURN(TarPartReader part, reader_.OpenTarPart(blob.record, decoded));
  const auto started = RecordOfTar::Start(layer.chunk_size);
  if (!started.ok()) return Unavailable(Message(started.status()));
  RecordOfTar& record = **started;
  ASSIGN_OR_RETURN(const Digest tar,
                   RebuildTar(
                       layer, part, [&](uint32_t chunk) { return ReadChunk(blob, layer, chunk); },
                       [&](std::string_view bytes) {
                         record.Write(bytes);
                         return WaitForQuiet();  // holes have no chunks, and may be long
                       }));
  if (tar != layer.diff_id) return Proof::kRefuted;
  // A tar that is no layer refutes its record, too.
  const absl::StatusOr<Digest> of_tar = record.Finish();
  return of_tar.ok() && *of_tar == blob.record ? Proof::kProved : Proof::kRefuted;
}

absl::Status LayerProver::WaitForQuiet() {
  if (idle_.Disturbed() && !idle_.WaitUntilIdle()) return Cancelled("the daemon stops");
  return idle_.GiveWay() ? absl::OkStatus() : Cancelled("the daemon stops");
}

absl::StatusOr<std::string> LayerProver::ReadChunk(const BlobRow& blob, const Layer& layer,
                                                   uint32_t chunk) {
  RETURN_IF_ERROR(WaitForQuiet());
  auto cached = options_.filler->ReadCachedChunk(blob.id, chunk);
  if (absl::IsNotFound(cached.status())) return Unavailable(Message(cached.status()));  // evicted
  ASSIGN_OR_RETURN(std::string bytes, std::move(cached));
  if (Sha256::Of(bytes) == layer.chunks[chunk].digest) return bytes;
  options_.filler->DropChunk(blob.id, chunk);
  return Unavailable("chunk " + std::to_string(chunk) + " is damaged in the blob cache");
}

absl::Status LayerProver::Keep(const BlobRow& blob, Proof proof) {
  ASSIGN_OR_RETURN(Txn txn, options_.db->Write());
  RETURN_IF_ERROR(SetProof(txn, blob.id, proof));
  return txn.Commit();
}

}  // namespace slacker
