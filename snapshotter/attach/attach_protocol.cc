#include "snapshotter/attach/attach_protocol.h"

#include <utility>

#include "backend/base/codec.h"
#include "backend/base/status.h"

namespace slacker::attach {

std::string Encode(const Request& request) {
  std::string packet;
  Encoder out(&packet);
  out.U64(request.id);
  out.U8(static_cast<uint8_t>(request.verb));
  out.Bytes(request.fuse_directory);
  out.Bytes(request.cache_directory);
  out.U32(request.read_ahead_kib);
  out.U32(request.local_read_ahead_kib);
  out.Bytes(request.tree.metadata_path);
  out.Bytes(request.tree.mount_path);
  out.Varint(request.tree.blobs.size());
  for (const BlobRef& blob : request.tree.blobs) {
    out.U64(blob.id);
    out.U64(blob.size_bytes);
    out.U8(static_cast<uint8_t>(blob.file));
  }
  out.Varint(request.ranges.size());
  std::string_view last;  // neighbours are mostly of one file
  for (const FileRange& range : request.ranges) {
    out.Bytes(range.path == last ? "" : range.path);
    out.U64(range.offset);
    out.U64(range.size_bytes);
    last = range.path;
  }
  return packet;
}

std::string Encode(const Answer& answer) {
  std::string packet;
  Encoder out(&packet);
  out.U64(answer.id);
  out.U8(static_cast<uint8_t>(answer.status.code()));
  out.Bytes(Message(answer.status));
  return packet;
}

absl::StatusOr<Request> DecodeRequest(std::string_view packet) {
  Decoder in(packet);
  Request request;
  request.id = in.U64();
  request.verb = static_cast<Verb>(in.U8());
  request.fuse_directory = in.Bytes();
  request.cache_directory = in.Bytes();
  request.read_ahead_kib = in.U32();
  request.local_read_ahead_kib = in.U32();
  request.tree.metadata_path = in.Bytes();
  request.tree.mount_path = in.Bytes();
  const uint64_t blobs = in.VarintUpTo(kMaxBlobs);
  for (uint64_t i = 0; in.ok() && i < blobs; ++i) {
    BlobRef blob;
    blob.id = in.U64();
    blob.size_bytes = in.U64();
    blob.file = in.U8() == 0 ? BlobFile::kFuse : BlobFile::kCache;
    request.tree.blobs.push_back(blob);
  }
  const uint64_t ranges = in.VarintUpTo(kMaxRanges);
  for (uint64_t i = 0; in.ok() && i < ranges; ++i) {
    FileRange range;
    range.path = in.Bytes();
    range.offset = in.U64();
    range.size_bytes = in.U64();
    if (range.path.empty() && i > 0) range.path = request.ranges.back().path;
    request.ranges.push_back(std::move(range));
  }
  if (!in.done()) return Internal("attach helper: damaged request");
  return request;
}

absl::StatusOr<Answer> DecodeAnswer(std::string_view packet) {
  Decoder in(packet);
  Answer answer;
  answer.id = in.U64();
  const auto code = static_cast<absl::StatusCode>(in.U8());
  const std::string message(in.Bytes());
  if (!in.done()) return Internal("attach helper: damaged answer");
  answer.status = absl::Status(code, message);
  return answer;
}

}  // namespace slacker::attach
