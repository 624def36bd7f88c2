// Boot packs: what the start of an image needs, in one object (docs/formats.md, "Boot packs").
//
// Model. A *table* stands at the beginning: for each layer of the chain where its record object
// stands in the pack, and the *windows* that follow. A window is up to kMaxBootWindowBytes of whole
// chunks or of single pages, one after the other in the order in which a start touches them,
// compressed together: that saves a fifth of what chunks take that are compressed one by one. How
// long the chunks are is not said here, but in the records: who unpacks a window has verified those
// before.
//
// Of records and chunks a boot pack proves nothing and decides nothing. It says where bytes are that
// a digest was known of before: records by the manifest, chunks by the records. Who finds it damaged,
// or lying, reads what it lacks elsewhere. Pages are parts of chunks, of which nobody knows a digest:
// those of a window are vouched for by its digest in the table, and the table by a signature, as
// manifests are. A pack with pages has version 2.
//
// Everything here is a value, and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/base/signature.h"
#include "backend/record/layer.h"

namespace slacker {

inline constexpr uint64_t kMaxBootTableBytes = 1 << 20;
inline constexpr uint64_t kMaxBootWindowBytes = 1 << 20;  // uncompressed, thus stored as well
inline constexpr uint32_t kMaxBootWindowChunks = 4096;
inline constexpr uint64_t kBootPageBytes = 4096;

// Neighbouring chunks of one layer, or pages of its blob.
struct ChunkRun {
  uint32_t layer = 0;  // position in the chain, 0 = bottom
  uint32_t first = 0;
  uint32_t count = 0;
};

// Who says what a start touches.
enum class BootOrigin : uint8_t {
  kGuess = 1,  // guessed from the image's configuration
  kTrace = 2,  // seen
};

struct BootTable {
  struct Record {
    Digest record;
    uint64_t offset = 0;  // of its object in the pack
    uint64_t bytes = 0;   // 0 = left out
  };
  struct Window {
    uint64_t offset = 0;
    uint32_t stored_bytes = 0;
    bool compressed = false;
    std::optional<Digest> pages;  // the runs are of pages, and this is what the stored bytes have
    std::vector<ChunkRun> runs;
  };

  bool HasPages() const;

  Digest chain_id;
  BootOrigin origin = BootOrigin::kGuess;
  Digest made_of;               // what it was made of: equal ones give an equally good pack
  std::vector<Record> records;  // bottom first; in the pack the top's stands first
  std::vector<Window> windows;
  uint64_t pack_bytes = 0;  // in all
  Digest checksum;          // of the table, and so of what a signature is of
};

struct NewBootPack {
  struct Record {
    Digest record;
    std::string object;  // "" = left out
  };
  struct Window {
    std::string stored;
    bool compressed = false;
    bool pages = false;  // the runs are of pages
    std::vector<ChunkRun> runs;
  };

  Digest chain_id;
  BootOrigin origin = BootOrigin::kGuess;
  Digest made_of;
  std::vector<Record> records;  // bottom first
  std::vector<Window> windows;
};

// Frees what it has copied as it goes. One with pages is signed with `key`, unsigned if that is null. RESOURCE_EXHAUSTED when the table would be larger than it may be. REQUIRES: windows within the
// limits above, of chunks that follow each other.
absl::StatusOr<std::string> EncodeBootPack(NewBootPack pack, const SigningKey* key);

// How many bytes from the beginning DecodeBootTable needs, as the first ones say: at most
// kMaxBootTableBytes. DATA_LOSS when this is no boot pack. REQUIRES: at least kBootHeadBytes.
inline constexpr size_t kBootHeadBytes = 12;
absl::StatusOr<size_t> BootTableBytes(std::string_view beginning);

// DATA_LOSS unless `beginning` begins with the undamaged table of a boot pack of this chain. Windows
// are in the order of their offsets. Whether a layer has the chunks that a run names is not checked.
absl::StatusOr<BootTable> DecodeBootTable(std::string_view beginning, const Digest& chain_id);

// Whether pages in a pack with this beginning, which DecodeBootTable has accepted, may be believed:
// signed by one of `keys`, or anybody's where there are none. FAILED_PRECONDITION: none of these has
// signed it. DATA_LOSS: one has, as it says, but not this.
absl::Status CheckBootSignature(std::string_view beginning, std::span<const PublicKey> keys);
// Signs a pack, or the beginning of one, that DecodeBootTable has accepted, in place of whoever did
// before; what has no pages stays as it is. REQUIRES: who signs knows that the pages are right.
void SignBootPack(const SigningKey& key, std::string* pack);

// A chunk of a window; `bytes` have its digest.
struct BootChunk {
  uint32_t layer = 0;
  uint32_t chunk = 0;
  std::string bytes;
};

// The verified chunks of a window. `tables`: the chunks of each layer, parallel to
// BootTable::records, from verified records. DATA_LOSS, and nothing is returned, when one of them is
// not what its digest says, or the window names chunks that there are not, or more than a window
// may have. Memory: kMaxBootWindowBytes twice.
absl::StatusOr<std::vector<BootChunk>> UnpackBootWindow(
    const BootTable::Window& window, std::string_view stored,
    std::span<const TableVector<Chunk>* const> tables);

// The pages of a window, run after run. DATA_LOSS when they are not those that the table vouches for.
// REQUIRES: window.pages.
absl::StatusOr<std::string> UnpackBootPages(const BootTable::Window& window,
                                            std::string_view stored);

}  // namespace slacker
