#include "backend/export/gzip_writer.h"

#include <zlib.h>

#include <algorithm>
#include <string>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/codec.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr int kLevel = 6;
constexpr int kRawDeflate = -15;  // the largest window, without zlib's own header
constexpr int kDefaultMemory = 8;
constexpr size_t kSystemOffset = 9;

// RFC 1952: no name, no time, compressed neither fastest nor best.
std::string Header(uint8_t system) {
  std::string header("\x1f\x8b\x08\0\0\0\0\0\0", kSystemOffset);
  header += static_cast<char>(system);
  return header;
}

}  // namespace

struct GzipWriter::Stream {
  z_stream deflate = {};
  uLong crc = crc32(0, nullptr, 0);
  uint32_t size = 0;  // modulo 2^32, as the format has it
};

GzipWriter::GzipWriter(Spool content)
    : stream_(std::make_unique<Stream>()), content_(std::move(content)) {
  const int code = deflateInit2(&stream_->deflate, kLevel, Z_DEFLATED, kRawDeflate, kDefaultMemory,
                                Z_DEFAULT_STRATEGY);
  SLACKER_CHECK(code == Z_OK, "zlib has memory");
}

GzipWriter::~GzipWriter() { (void)deflateEnd(&stream_->deflate); }  // only frees

absl::StatusOr<std::unique_ptr<GzipWriter>> GzipWriter::Open() {
  ASSIGN_OR_RETURN(Spool content, Spool::Open());
  std::unique_ptr<GzipWriter> writer(new GzipWriter(std::move(content)));
  for (size_t i = 0; i < kSystems.size(); ++i) writer->hashes_[i].Update(Header(kSystems[i]));
  RETURN_IF_ERROR(writer->content_.Append(Header(kSystems[0])));
  return writer;
}

absl::Status GzipWriter::Put(std::string_view bytes) {
  for (Sha256& hash : hashes_) hash.Update(bytes);
  return content_.Append(bytes);
}

absl::Status GzipWriter::Deflate(std::string_view bytes, int flush) {
  std::array<char, 64 << 10> out;
  z_stream& deflate_stream = stream_->deflate;
  // zlib does not write through it.
  deflate_stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  deflate_stream.avail_in = static_cast<uInt>(bytes.size());
  do {
    deflate_stream.next_out = reinterpret_cast<Bytef*>(out.data());
    deflate_stream.avail_out = out.size();
    if (deflate(&deflate_stream, flush) == Z_STREAM_ERROR) return Internal("zlib: stream error");
    RETURN_IF_ERROR(Put({out.data(), out.size() - deflate_stream.avail_out}));
  } while (deflate_stream.avail_out == 0);
  return absl::OkStatus();
}

absl::Status GzipWriter::Append(std::string_view bytes) {
  constexpr size_t kMost = 1 << 30;  // zlib counts in 32 bits
  while (!bytes.empty()) {
    const std::string_view now = bytes.substr(0, kMost);
    stream_->crc = crc32(stream_->crc, reinterpret_cast<const Bytef*>(now.data()),
                         static_cast<uInt>(now.size()));
    stream_->size += static_cast<uint32_t>(now.size());
    RETURN_IF_ERROR(Deflate(now, Z_NO_FLUSH));
    bytes.remove_prefix(now.size());
  }
  return absl::OkStatus();
}

absl::StatusOr<GzipWriter::Result> GzipWriter::Finish(const std::optional<Digest>& wanted) && {
  RETURN_IF_ERROR(Deflate({}, Z_FINISH));
  std::string trailer;
  Encoder out(&trailer);
  out.U32(static_cast<uint32_t>(stream_->crc));
  out.U32(stream_->size);
  RETURN_IF_ERROR(Put(trailer));
  std::array<Digest, kSystems.size()> digests;
  for (size_t i = 0; i < kSystems.size(); ++i) digests[i] = hashes_[i].Finish();
  size_t chosen = 0;
  bool as_wanted = false;
  if (wanted.has_value()) {
    const auto found = std::find(digests.begin(), digests.end(), *wanted);
    as_wanted = found != digests.end();
    if (as_wanted) chosen = static_cast<size_t>(found - digests.begin());
  }
  const char system = static_cast<char>(kSystems[chosen]);
  RETURN_IF_ERROR(content_.Overwrite(kSystemOffset, {&system, 1}));
  return Result{std::move(content_), digests[chosen], as_wanted};
}

}  // namespace slacker
