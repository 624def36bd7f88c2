#include "backend/layer/tar_reader.h"

#include <archive.h>
#include <archive_entry.h>

#include <bit>
#include <cerrno>
#include <memory>

#include "backend/base/status.h"
#include "backend/layer/chunker.h"
#include "backend/layer/layer_tree.h"
#include "backend/layer/tar_header.h"
#include "backend/layer/tar_tape.h"

namespace slacker {
namespace {

struct ArchiveFree {
  void operator()(archive* a) const { archive_read_free(a); }
};

// The sum of the runs of data that libarchive has found in the map of a sparse file.
uint64_t MappedBytes(archive_entry* entry) {
  if (archive_entry_sparse_reset(entry) == 0) {
    return static_cast<uint64_t>(archive_entry_size(entry));
  }
  uint64_t sum = 0;
  la_int64_t offset = 0;
  la_int64_t length = 0;
  while (archive_entry_sparse_next(entry, &offset, &length) == ARCHIVE_OK) {
    sum += static_cast<uint64_t>(length);
  }
  return sum;
}

// Two views of one stream: libarchive frames it and decodes sparse files, NextTarHeader reads the
// raw headers from the tape. Where they do not agree on where things are, the tar is refused: what
// one image means must not depend on who reads it.
class LayerReader {
 public:
  LayerReader(ByteSource* source, uint32_t chunk_size, const TarLimits& limits,
              const ChunkSink* sink)
      : limits_(limits),
        layer_(chunk_size),
        tape_(source, limits.max_metadata_bytes, &layer_),
        chunker_(&layer_, sink),
        tree_(limits) {}

  absl::StatusOr<LayerTables> Read();

 private:
  static la_ssize_t OnRead(archive* a, void* self, const void** buffer);

  absl::Status Error(int result, std::string_view what) const;
  absl::Status CountEntry();
  absl::Status ReadEntry(archive_entry* entry);
  absl::StatusOr<TarHeader> ReadHeader(uint64_t payload_start);
  // The index of the file that was added, kNone if there is no payload.
  absl::StatusOr<uint32_t> ReadPayload(const TarHeader& header, uint64_t payload_start);
  absl::Status ReadEnd();

  const TarLimits limits_;
  LayerEncoder layer_;
  TarTape tape_;
  Chunker chunker_;
  LayerTree tree_;
  std::unique_ptr<archive, ArchiveFree> archive_;
  absl::Status source_status_;  // why OnRead failed
  uint64_t next_header_ = 0;    // where the next header begins by the raw headers' sizes
  uint64_t entries_ = 0;
};

la_ssize_t LayerReader::OnRead(archive* a, void* self, const void** buffer) {
  auto* const reader = static_cast<LayerReader*>(self);
  absl::StatusOr<std::string_view> bytes = reader->tape_.Pull();
  if (!bytes.ok()) {
    reader->source_status_ = bytes.status();
    archive_set_error(a, EIO, "the source failed");
    return ARCHIVE_FATAL;
  }
  *buffer = bytes->data();
  return static_cast<la_ssize_t>(bytes->size());
}

absl::StatusOr<LayerTables> LayerReader::Read() {
  archive_.reset(archive_read_new());
  archive* const a = archive_.get();
  if (a == nullptr) return ResourceExhausted("libarchive: out of memory");
  RETURN_IF_ERROR(Error(archive_read_support_format_tar(a), "set up"));
  RETURN_IF_ERROR(Error(archive_read_support_format_empty(a), "set up"));
  RETURN_IF_ERROR(Error(archive_read_open(a, this, nullptr, &OnRead, nullptr), "open"));
  while (true) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(a, &entry);
    if (result == ARCHIVE_EOF) break;
    RETURN_IF_ERROR(Error(result, "next entry"));
    RETURN_IF_ERROR(ReadEntry(entry));
  }
  RETURN_IF_ERROR(ReadEnd());
  ASSIGN_OR_RETURN(const Digest diff_id, tape_.Finish());
  RETURN_IF_ERROR(tree_.Finish(&layer_));
  return layer_.Finish(diff_id, tape_.end());
}

absl::Status LayerReader::Error(int result, std::string_view what) const {
  // A warning is about a name or attribute that libarchive could not convert: not used here.
  if (result == ARCHIVE_OK || result == ARCHIVE_WARN) return absl::OkStatus();
  RETURN_IF_ERROR(source_status_);
  const char* const text = archive_error_string(archive_.get());
  return InvalidArgument("tar, " + std::string(what) + " at byte " + std::to_string(next_header_) +
                         ": " + (text == nullptr ? "" : text));
}

absl::Status LayerReader::CountEntry() {
  if (++entries_ > limits_.max_entries) return InvalidArgument("tar: too many entries");
  return absl::OkStatus();
}

absl::Status LayerReader::ReadEntry(archive_entry* entry) {
  const auto payload_start = static_cast<uint64_t>(archive_filter_bytes(archive_.get(), 0));
  ASSIGN_OR_RETURN(const TarHeader header, ReadHeader(payload_start));
  const auto annotate = [&header](const absl::Status& status) {
    return status.code() == absl::StatusCode::kInvalidArgument
               ? Annotate(status, "tar entry \"" + header.name.substr(0, 256) + "\"")
               : status;
  };
  if (header.size_bytes > limits_.max_file_bytes) {
    return annotate(InvalidArgument("file too large"));
  }
  if (header.stored_bytes != 0 &&
      static_cast<uint64_t>(archive_entry_size(entry)) != header.size_bytes) {
    return annotate(InvalidArgument("ambiguous size"));
  }
  if (header.sparse && header.size_bytes != 0 && MappedBytes(entry) != header.stored_bytes) {
    return annotate(InvalidArgument("the map of a sparse file does not fit its content"));
  }
  absl::StatusOr<uint32_t> file = ReadPayload(header, payload_start);
  if (!file.ok()) return annotate(file.status());
  return annotate(tree_.Apply(header, *file));
}

absl::StatusOr<TarHeader> LayerReader::ReadHeader(uint64_t payload_start) {
  while (true) {
    RETURN_IF_ERROR(CountEntry());
    if (next_header_ > payload_start) return InvalidArgument("tar: ambiguous framing");
    ASSIGN_OR_RETURN(TarHeaderStep step, NextTarHeader(tape_.View(next_header_, payload_start)));
    next_header_ += step.consumed;
    if (step.kind == TarHeaderStep::Kind::kGlobal) {
      RETURN_IF_ERROR(tree_.Apply(step.header, kNone));
      continue;
    }
    const uint64_t map_bytes = payload_start - next_header_;
    if (step.kind == TarHeaderStep::Kind::kEnd || map_bytes > step.header.stored_bytes ||
        map_bytes % kTarBlock != 0 || (map_bytes != 0) != step.header.has_map) {
      return InvalidArgument("tar: ambiguous framing at byte " + std::to_string(next_header_));
    }
    next_header_ += TarPadded(step.header.stored_bytes);
    RETURN_IF_ERROR(tape_.PutLiteral(payload_start));
    step.header.stored_bytes -= map_bytes;
    return std::move(step.header);
  }
}

absl::StatusOr<uint32_t> LayerReader::ReadPayload(const TarHeader& header, uint64_t payload_start) {
  const bool has_file = header.size_bytes != 0;
  const uint32_t file = has_file ? static_cast<uint32_t>(layer_.totals().files) : kNone;
  if (has_file) RETURN_IF_ERROR(chunker_.Begin(header.size_bytes));
  uint64_t stored = 0;
  uint64_t position = 0;
  while (true) {
    const void* data = nullptr;
    size_t size = 0;
    la_int64_t signed_offset = 0;
    const int result = archive_read_data_block(archive_.get(), &data, &size, &signed_offset);
    if (result == ARCHIVE_EOF) break;
    RETURN_IF_ERROR(Error(result, "content"));
    if (size == 0) continue;
    const auto offset = static_cast<uint64_t>(signed_offset);
    if (offset < position || offset > header.size_bytes || size > header.size_bytes - offset) {
      return InvalidArgument("content beyond the end of the file");
    }
    const std::string_view run(static_cast<const char*>(data), size);
    RETURN_IF_ERROR(tape_.PutFileRun(payload_start + stored, run, file, offset));
    RETURN_IF_ERROR(chunker_.Write(offset, run));
    stored += size;
    position = offset + size;
  }
  if (stored != header.stored_bytes) return InvalidArgument("ambiguous content");
  if (has_file) RETURN_IF_ERROR(chunker_.End());
  return file;
}

absl::Status LayerReader::ReadEnd() {
  // Two blocks of zeros end a tar; one or none is accepted where the stream ends with it.
  while (tape_.end() < next_header_ + 2 * kTarBlock) {
    ASSIGN_OR_RETURN(const std::string_view bytes, tape_.Pull());
    if (bytes.empty()) break;
  }
  if (next_header_ > tape_.end()) return InvalidArgument("tar: truncated");
  while (true) {
    ASSIGN_OR_RETURN(TarHeaderStep step, NextTarHeader(tape_.View(next_header_, tape_.end())));
    next_header_ += step.consumed;
    if (step.kind == TarHeaderStep::Kind::kEnd) break;
    if (step.kind == TarHeaderStep::Kind::kEntry) {
      return InvalidArgument("tar: ambiguous framing at its end");
    }
    RETURN_IF_ERROR(CountEntry());
    RETURN_IF_ERROR(tree_.Apply(step.header, kNone));
  }
  const uint64_t rest = tape_.end() - next_header_;
  if (rest == 0 || rest == kTarBlock) return absl::OkStatus();
  if (rest < 2 * kTarBlock) return InvalidArgument("tar: truncated at its end");
  const std::string_view second =
      tape_.View(next_header_ + kTarBlock, next_header_ + 2 * kTarBlock);
  if (second.find_first_not_of('\0') != std::string_view::npos) {
    return InvalidArgument("tar: a block of zeros between entries");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LayerTables> ReadLayerTar(ByteSource& tar, uint32_t chunk_size,
                                         const TarLimits& limits, const ChunkSink& sink) {
  if (!std::has_single_bit(chunk_size) || chunk_size < kMinChunkSize ||
      chunk_size > kMaxChunkSize) {
    return InvalidArgument("chunk size " + std::to_string(chunk_size));
  }
  return LayerReader(&tar, chunk_size, limits, &sink).Read();
}

}  // namespace slacker
