#include "backend/store/boot_pack.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/record/zstd_codec.h"
#include "backend/store/manifest_codec.h"

namespace slacker {
namespace {

constexpr std::string_view kBootMagic = "SLKB";
constexpr uint32_t kBootVersion = 1;
constexpr uint32_t kVersionWithPages = 2;
constexpr std::string_view kPurpose = "slacker boot pack v2";
constexpr uint64_t kSignatureSlotBytes = 32 + kSignatureBytes;  // of a pack with pages
constexpr size_t kBootDigestBytes = 32;
constexpr uint64_t kMaxPackBytes = uint64_t{1} << 34;

uint64_t ZigZag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}
int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

// Where the next run of a layer probably begins: at the end of the one before.
class NextChunks {
 public:
  explicit NextChunks(size_t layers) : next_(layers, 0) {}
  uint32_t& of(uint32_t layer) { return next_[layer]; }

 private:
  std::vector<uint32_t> next_;
};

void EncodeRuns(const std::vector<ChunkRun>& runs, NextChunks* next, Encoder* out) {
  out->Varint(runs.size());
  for (const ChunkRun& run : runs) {
    uint32_t& expected = next->of(run.layer);
    out->Varint(run.layer);
    out->Varint(ZigZag(int64_t{run.first} - int64_t{expected}));
    out->Varint(run.count);
    expected = run.first + run.count;
  }
}

bool DecodeRuns(Decoder* in, size_t layers, NextChunks* next, std::vector<ChunkRun>* runs) {
  const uint64_t count = in->VarintUpTo(kMaxBootWindowChunks);
  uint64_t left = kMaxBootWindowChunks;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t layer = in->VarintUpTo(layers - 1);
    const int64_t step = UnZigZag(in->VarintUpTo(std::numeric_limits<uint32_t>::max()));
    const uint64_t chunks = in->VarintUpTo(left);
    if (!in->ok() || chunks == 0) return false;
    left -= chunks;
    uint32_t& expected = next->of(static_cast<uint32_t>(layer));
    const int64_t first = int64_t{expected} + step;
    if (first < 0 || first + static_cast<int64_t>(chunks) >= int64_t{kNone}) return false;
    runs->push_back({static_cast<uint32_t>(layer), static_cast<uint32_t>(first),
                     static_cast<uint32_t>(chunks)});
    expected = static_cast<uint32_t>(first) + static_cast<uint32_t>(chunks);
  }
  return in->ok();
}

bool HasPages(const NewBootPack& pack) {
  return std::any_of(pack.windows.begin(), pack.windows.end(),
                     [](const NewBootPack::Window& window) { return window.pages; });
}

// `with_pages`: as of version 2.
std::string EncodeTable(const NewBootPack& pack, bool with_pages) {
  std::string table;
  Encoder out(&table);
  out.Hash(pack.chain_id);
  out.U8(static_cast<uint8_t>(pack.origin));
  out.Hash(pack.made_of);
  out.Varint(pack.records.size());
  for (auto record = pack.records.rbegin(); record != pack.records.rend(); ++record) {
    out.Hash(record->record);
    out.Varint(record->object.size());
  }
  out.Varint(pack.windows.size());
  NextChunks next(pack.records.size());
  NextChunks next_pages(pack.records.size());
  for (const NewBootPack::Window& window : pack.windows) {
    out.Varint(window.stored.size() << 1 | (window.compressed ? 1 : 0));
    if (with_pages) out.U8(window.pages ? 1 : 0);
    if (window.pages) out.Hash(Sha256::Of(window.stored));
    EncodeRuns(window.runs, window.pages ? &next_pages : &next, &out);
  }
  return table;
}

absl::Status Malformed(const char* what) { return DataLoss(std::string("boot pack: ") + what); }

// Of a window in the table of a pack that has pages.
bool DecodePagesDigest(Decoder* in, BootTable::Window* window) {
  const uint8_t kind = in->U8();
  if (kind == 1) window->pages = in->Hash();
  return in->ok() && kind <= 1;
}

// `offset`: where the records begin.
absl::StatusOr<BootTable> DecodeTable(std::string_view bytes, uint64_t offset, bool with_pages) {
  BootTable table;
  Decoder in(bytes);
  table.chain_id = in.Hash();
  const uint8_t origin = in.U8();
  table.origin = static_cast<BootOrigin>(origin);
  table.made_of = in.Hash();
  if (origin != static_cast<uint8_t>(BootOrigin::kGuess) &&
      origin != static_cast<uint8_t>(BootOrigin::kTrace)) {
    return Malformed("unknown origin");
  }
  const uint64_t layers = in.VarintUpTo(kMaxLayers);
  if (layers == 0 || layers > in.remaining() / kBootDigestBytes) return Malformed("bad layers");
  table.records.resize(layers);
  for (auto record = table.records.rbegin(); record != table.records.rend(); ++record) {
    record->record = in.Hash();
    record->offset = offset;
    record->bytes = in.VarintUpTo(kMaxPackBytes);
    offset += record->bytes;
  }
  const uint64_t windows = in.Varint();
  if (!in.ok() || windows > in.remaining()) return Malformed("bad records");
  NextChunks next(layers);
  NextChunks next_pages(layers);
  for (uint64_t i = 0; i < windows; ++i) {
    BootTable::Window window;
    const uint64_t length = in.VarintUpTo(kMaxBootWindowBytes << 1 | 1);
    window.offset = offset;
    window.stored_bytes = static_cast<uint32_t>(length >> 1);
    window.compressed = (length & 1) != 0;
    if (with_pages && !DecodePagesDigest(&in, &window)) return Malformed("bad window");
    NextChunks* expected = window.pages.has_value() ? &next_pages : &next;
    if (!in.ok() || !DecodeRuns(&in, layers, expected, &window.runs) || window.runs.empty() ||
        window.stored_bytes == 0) {
      return Malformed("bad window");
    }
    uint64_t units = 0;
    for (const ChunkRun& run : window.runs) units += run.count;
    if (window.pages.has_value() && units > kMaxBootWindowBytes / kBootPageBytes) {
      return Malformed("window too large");
    }
    offset += window.stored_bytes;
    table.windows.push_back(std::move(window));
  }
  if (!in.done() || offset > kMaxPackBytes) return Malformed("bad length");
  table.pack_bytes = offset;
  return table;
}

// What the checksum is of, and the signature. REQUIRES: a beginning of at least the length it says.
std::string_view BodyOf(std::string_view beginning) {
  Decoder in(beginning.substr(kBootMagic.size() + 4));
  return beginning.substr(0, kBootHeadBytes + size_t{in.U32()});
}
bool MayHavePages(std::string_view beginning) {
  Decoder in(beginning.substr(kBootMagic.size()));
  return in.U32() == kVersionWithPages;
}

}  // namespace

bool BootTable::HasPages() const {
  return std::any_of(windows.begin(), windows.end(),
                     [](const Window& window) { return window.pages.has_value(); });
}

absl::StatusOr<std::string> EncodeBootPack(NewBootPack pack, const SigningKey* key) {
  const bool with_pages = HasPages(pack);
  const std::string table = EncodeTable(pack, with_pages);
  uint64_t size = kBootHeadBytes + table.size() + kBootDigestBytes;
  if (with_pages) size += kSignatureSlotBytes;
  if (size > kMaxBootTableBytes) {
    return ResourceExhausted("the table of a boot pack is too large");
  }
  for (const NewBootPack::Record& record : pack.records) size += record.object.size();
  for (const NewBootPack::Window& window : pack.windows) size += window.stored.size();
  std::string bytes;
  bytes.reserve(size);
  Encoder out(&bytes);
  out.Raw(kBootMagic);
  out.U32(with_pages ? kVersionWithPages : kBootVersion);
  out.U32(static_cast<uint32_t>(table.size()));
  out.Raw(table);
  const std::string signature = key == nullptr ? "" : key->Sign(kPurpose, bytes);
  out.Hash(Sha256::Of(bytes));
  if (with_pages) {
    out.Hash(key == nullptr ? Digest() : key->public_key().id());
    out.Raw(key == nullptr ? std::string(kSignatureBytes, '\0') : signature);
  }
  for (auto record = pack.records.rbegin(); record != pack.records.rend(); ++record) {
    out.Raw(std::exchange(record->object, {}));
  }
  for (NewBootPack::Window& window : pack.windows) out.Raw(std::exchange(window.stored, {}));
  return bytes;
}

absl::StatusOr<size_t> BootTableBytes(std::string_view beginning) {
  Decoder in(beginning);
  if (in.Raw(kBootMagic.size()) != kBootMagic) return Malformed("not one");
  const uint32_t version = in.U32();
  if (version != kBootVersion && version != kVersionWithPages) {
    return Malformed("of a version that is not known here");
  }
  const size_t bytes = kBootHeadBytes + size_t{in.U32()} + kBootDigestBytes +
                       (version == kVersionWithPages ? kSignatureSlotBytes : 0);
  if (!in.ok() || bytes > kMaxBootTableBytes) return Malformed("table too large");
  return bytes;
}

absl::StatusOr<BootTable> DecodeBootTable(std::string_view beginning, const Digest& chain_id) {
  ASSIGN_OR_RETURN(const size_t bytes, BootTableBytes(beginning));
  if (beginning.size() < bytes) return Malformed("ends within its table");
  const std::string_view body = BodyOf(beginning);
  const Digest checksum = Sha256::Of(body);
  if (AsText(checksum.bytes) != beginning.substr(body.size(), kBootDigestBytes)) {
    return Malformed("its table fails its checksum");
  }
  ASSIGN_OR_RETURN(BootTable table,
                   DecodeTable(body.substr(kBootHeadBytes), bytes, MayHavePages(beginning)));
  if (table.chain_id != chain_id) return Malformed("of another chain");
  table.checksum = checksum;
  return table;
}

absl::Status CheckBootSignature(std::string_view beginning, std::span<const PublicKey> keys) {
  if (keys.empty() || !MayHavePages(beginning)) return absl::OkStatus();
  const std::string_view body = BodyOf(beginning);
  Decoder in(beginning.substr(body.size() + kBootDigestBytes));
  const Digest key_id = in.Hash();
  const std::string_view signature = in.Raw(kSignatureBytes);
  for (const PublicKey& key : keys) {
    if (key.id() != key_id) continue;
    if (key.Verifies(signature, kPurpose, body)) return absl::OkStatus();
    return Malformed("its signature is wrong");
  }
  return FailedPrecondition("the boot pack is not signed by a trusted key");
}

void SignBootPack(const SigningKey& key, std::string* pack) {
  if (!MayHavePages(*pack)) return;
  const std::string_view body = BodyOf(*pack);
  std::string slot;
  Encoder out(&slot);
  out.Hash(key.public_key().id());
  out.Raw(key.Sign(kPurpose, body));
  pack->replace(body.size() + kBootDigestBytes, slot.size(), slot);
}

absl::StatusOr<std::vector<BootChunk>> UnpackBootWindow(
    const BootTable::Window& window, std::string_view stored,
    std::span<const TableVector<Chunk>* const> tables) {
  if (window.pages.has_value()) return Malformed("pages, not chunks");
  uint64_t size = 0;
  for (const ChunkRun& run : window.runs) {
    if (run.layer >= tables.size()) return Malformed("a layer that there is not");
    const TableVector<Chunk>& chunks = *tables[run.layer];
    if (run.first > chunks.size() || run.count > chunks.size() - run.first) {
      return Malformed("a chunk that there is not");
    }
    for (uint32_t i = 0; i < run.count; ++i) size += chunks[run.first + i].size_bytes;
    if (size > kMaxBootWindowBytes) return Malformed("window too large");
  }
  std::string plain;
  std::string_view content = stored;
  if (stored.size() != window.stored_bytes) return Malformed("ends within a window");
  if (window.compressed) {
    RETURN_IF_ERROR(Annotate(DecompressExactly(stored, size, &plain), "boot pack"));
    content = plain;
  }
  if (content.size() != size) return Malformed("a window of another length");
  std::vector<BootChunk> unpacked;
  for (const ChunkRun& run : window.runs) {
    for (uint32_t chunk = run.first; chunk < run.first + run.count; ++chunk) {
      const Chunk& wanted = (*tables[run.layer])[chunk];
      const std::string_view bytes = content.substr(0, wanted.size_bytes);
      content.remove_prefix(bytes.size());
      if (Sha256::Of(bytes) != wanted.digest) return Malformed("a chunk fails its digest");
      unpacked.push_back({run.layer, chunk, std::string(bytes)});
    }
  }
  return unpacked;
}

absl::StatusOr<std::string> UnpackBootPages(const BootTable::Window& window,
                                            std::string_view stored) {
  if (stored.size() != window.stored_bytes) return Malformed("ends within a window");
  if (Sha256::Of(stored) != *window.pages) return Malformed("pages fail their digest");
  uint64_t size = 0;
  for (const ChunkRun& run : window.runs) size += run.count * kBootPageBytes;
  if (size > kMaxBootWindowBytes) return Malformed("window too large");
  std::string content;
  if (window.compressed) {
    RETURN_IF_ERROR(Annotate(DecompressExactly(stored, size, &content), "boot pack"));
  } else {
    content = stored;
  }
  if (content.size() != size) return Malformed("a window of another length");
  return content;
}

}  // namespace slacker
