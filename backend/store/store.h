// The store: what is published, laid out on a Backend. Names and bytes are those of
// docs/formats.md.
//
//   records/<digest>            layer record (entries, chunk table), by content
//   tars/<digest>               what gives the tar of the record <digest> back
//   manifests/<chain ID>/<key>  binds a chain ID to its records; <key> = ID of the signing key, or
//                               "unsigned" (there is always one of these, too)
//   grants/<chain ID>/<repository>/<key>  who may have that chain
//   layers/<diff ID>/<repository>/<chain ID>  that chain ends in this layer: where publishers look
//                               for a layer that they meet on another base
//   locations/<record digest>   chunk -> pack and offset; replaceable
//   packs/<id>, packs/<id>.idx  compressed chunks, and their sorted index
//   images/<hash of the name>   names, platforms, times: for people
//
// A node computes every name that it reads; only publishers and people's tools list.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/base/digest.h"
#include "backend/base/platform.h"
#include "backend/base/signature.h"
#include "backend/base/spill.h"
#include "backend/record/layer.h"
#include "backend/record/layer_codec.h"

namespace slacker {

struct ManifestLayer {
  Digest diff_id;
  Digest record;  // name of the layer record
};

// One for every prefix of a published image.
struct Manifest {
  Digest chain_id;
  Platform platform;
  std::vector<ManifestLayer> layers;  // bottom first; ChainId of their diff IDs is chain_id
};

// Who may have a chain: whoever may read this repository in its registry ("docker.io/library/app",
// host and path without tag), or anybody ("").
struct Grant {
  Digest chain_id;
  std::string repository;
};

// An entry of images/: what people called what they published.
struct ImageEntry {
  std::string name;  // "docker://…", "oci:…": the source as it was given, normalised
  Platform platform;
  Digest chain_id;
  std::string manifest_digest;  // of the OCI manifest, "sha256:…"
  uint64_t compressed_bytes = 0, unpacked_bytes = 0;
  int64_t published_unix_seconds = 0;
  std::string config_json;  // the OCI image configuration, verbatim
  // The OCI manifest, verbatim: the media types, digests and sizes of the layers as they came.
  // Empty in entries of older programs.
  std::string manifest_json = {};
};

// Where one chunk of a record is.
struct ChunkLocation {
  uint32_t pack = 0;  // index into Locations::packs
  uint64_t offset = 0;
  uint32_t stored_bytes = 0;
  bool compressed = false;  // zstd, else plain
};

struct Locations {
  std::vector<std::string> packs;     // object names
  TableVector<ChunkLocation> chunks;  // parallel to Layer::chunks
};

// A record as it was read: the layer, and the object it came from (kept on the node byte for byte).
struct RecordObject {
  Layer layer;         // without the tar part
  std::string stored;  // the object's bytes
};

// Whose manifests count.
struct Trust {
  // Manifests signed by one of these do, and no others. Without keys, unsigned ones do.
  std::vector<PublicKey> keys = {};
  // Without keys: also in a store that others can reach over a network.
  bool insecure = true;
};

// FAILED_PRECONDITION where there are no keys although there must be.
absl::Status CheckTrust(ReadBackend& backend, const Trust& trust);

// Reading side; what a node uses. Everything returned is verified against its digest, or
// (manifests, locations) checked for shape: a wrong location yields a chunk that fails its digest,
// never a wrong byte. Thread-safe. Blocks on the store.
//
// Errors: NOT_FOUND (not published), UNAVAILABLE/DEADLINE_EXCEEDED (the store), DATA_LOSS (an
// object that is damaged, or of a version that this program does not know).
class StoreReader {
 public:
  // Shared: several readers of one process use one backend.
  explicit StoreReader(std::shared_ptr<ReadBackend> backend, Trust trust = {});

  // Asks for all keys at once: one round trip. FAILED_PRECONDITION when there is a manifest, but
  // none that counts.
  absl::StatusOr<Manifest> ReadManifest(const Digest& chain_id) const;
  // The same with the grants, in the same round trip. `repository`: where the image is pulled from
  // by somebody who may, as far as the caller knows; "" = it does not know. UNAUTHENTICATED when
  // the chain is published, but granted neither to anybody nor to `repository`.
  struct GrantedManifest {
    Manifest manifest;
    bool to_anybody = false;
  };
  absl::StatusOr<GrantedManifest> ReadGrantedManifest(const Digest& chain_id,
                                                      const std::string& repository) const;
  // Records and tar parts are read page by page, each page checked as it comes: neither is ever in
  // memory as a whole, but for the copy that ReadRecord makes for the node. Small ones take one round
  // trip.
  absl::StatusOr<RecordObject> ReadRecord(const Digest& record) const;
  absl::StatusOr<DecodedRecord> ReadLayer(const Digest& record) const;
  // Its pieces are read, its literals come as they are asked for. `layer` is what ReadLayer gave.
  absl::StatusOr<TarPartReader> OpenTarPart(const Digest& record, const DecodedRecord& layer) const;
  // `chunk_count` is the record's: a table of another length is DATA_LOSS. Those who only count what
  // is stored need not know it.
  absl::StatusOr<Locations> ReadLocations(const Digest& record,
                                          std::optional<size_t> chunk_count) const;

  // Fetches chunks [first, first + count) of `layer` and hands each, verified, to `done` (index,
  // bytes or error), exactly once per chunk, in any order, on backend threads. Neighbours in a pack
  // are fetched by one read of at most 1 MiB; a chunk that fails its check is read once more,
  // alone. `layer` and `locations` must live until the last call. REQUIRES: the locations are the
  // layer's, and the chunks are in range. NOT_FOUND means that the pack is gone because its chunks
  // were moved: read the locations again, once.
  using ChunkCallback = std::function<void(uint32_t chunk, absl::StatusOr<std::string> bytes)>;
  void ReadChunksAsync(const Layer& layer, const Locations& locations, uint32_t first,
                       uint32_t count, ChunkCallback done) const;

  ReadBackend& backend() const { return *backend_; }

 private:
  std::shared_ptr<ReadBackend> backend_;
  Trust trust_;
};

// Decodes and verifies a record object kept on the node. DATA_LOSS unless it is exactly the record
// called `record`.
absl::StatusOr<Layer> DecodeRecordObject(std::string_view stored, const Digest& record);

// Publishing side. One StoreWriter is one publication; thread-compatible but for AddChunk, which is
// thread-safe. Nothing is visible to nodes before CommitManifests. Memory is bounded (two packs,
// some 100 bytes for each chunk of the publication, 50 MB for what the store has).
class StoreWriter {
 public:
  struct Options {
    int zstd_level = 3;
    uint64_t pack_target_bytes = 32 << 20;
    // Signs the manifests. What is in the store counts as known only if this key, or one of
    // `trusted_keys`, has signed it: a publisher does not sign what others claim.
    std::optional<SigningKey> key = std::nullopt;
    std::vector<PublicKey> trusted_keys = {};
  };
  // Maintenance keeps what it has added until then, or until CommitManifests.
  virtual ~StoreWriter() = default;

  // Chunks that the store has are not written again (known_chunks.h). Indexes that are damaged, and
  // those whose pack is missing or cut short, do not count: what is in them is stored again. Reads
  // next to nothing: what is asked for later is looked up then.
  static absl::StatusOr<std::unique_ptr<StoreWriter>> Open(std::shared_ptr<Backend> backend,
                                                           const Options& options);

  // Whether the store has a record of this layer already, sound and with its tar part and
  // locations, whose packs are there and not cut short (their content is not looked at; that is
  // what verification is for): its digest, and what it adds up to. Known through the manifest of a
  // chain that ends in it, `chain_id` or any other, which must be granted to anybody or to
  // `repository` ("" = nobody else): a layer that somebody else keeps to himself must be shown to be
  // known before it is published again.
  struct KnownLayer {
    Digest record;
    LayerTotals totals;
  };
  virtual absl::StatusOr<std::optional<KnownLayer>> FindRecord(const Digest& chain_id,
                                                               const std::string& repository,
                                                               const Digest& diff_id) = 0;

  // Whether the store has, as FindRecord looks at it, a layer that AddLayer of this writer or of another one
  // returned: what was added may have been removed since.
  virtual absl::StatusOr<bool> HasLayer(const ManifestLayer& layer) = 0;

  // Stores a chunk's content unless the store, or this publication, has it. Copies it and returns;
  // compressing and writing happen on other threads, and their errors come back from later calls.
  virtual absl::Status AddChunk(const Digest& digest, std::string_view content) = 0;

  // Writes the record, its tar part and its locations, without ever having a whole object in
  // memory; every chunk of it must have been added (INTERNAL). Returns the record's name. Chunks
  // reach the store before the record that needs them. Those that maintenance is removing are copied
  // while they are there. ABORTED: they are nowhere any more; another StoreWriter stores them anew.
  virtual absl::StatusOr<Digest> AddLayer(const LayerTables& layer) = 0;

  // Frees what chunks and layers took. REQUIRES: none of either is added from now on.
  virtual void EndLayers() = 0;

  // Writes grants and manifests of all prefixes of `layers` (bottom first in the list, the top's
  // last), unsigned and, with a key, signed; then the image entry, whose platform and chain ID are
  // those of the other arguments. `repository`: whom every prefix is granted to; "" = anybody.
  // INVALID_ARGUMENT: no layer, more than 4096, an image configuration of more than 8 MiB, a
  // manifest of more than 4 MiB, a repository of more than 1024 bytes. ABORTED: maintenance is removing
  // a layer that FindRecord found; with another StoreWriter it is not found any more.
  virtual absl::Status CommitManifests(const std::vector<ManifestLayer>& layers,
                                       const Platform& platform, const ImageEntry& image,
                                       const std::string& repository) = 0;

  // Written to the store so far, for progress and statistics.
  virtual uint64_t stored_bytes() const = 0;
};

// All image entries, sorted by name. Those that cannot be read are left out: `damaged` gets their
// names and why; without it there is a warning for each.
struct DamagedEntry {
  std::string object;
  absl::Status status;
};
absl::StatusOr<std::vector<ImageEntry>> ListImages(Backend& backend,
                                                   std::vector<DamagedEntry>* damaged = nullptr);
// The same without the OCI documents: of thousands of names these are large.
absl::StatusOr<std::vector<ImageEntry>> ListBareImages(
    Backend& backend, std::vector<DamagedEntry>* damaged = nullptr);

}  // namespace slacker
