// What a server says to a request, taken in piece by piece and judged: nothing of it is believed
// that does not fit what was asked for. Knows nothing of connections.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backend/backend.h"

namespace slacker::https {

// "bytes 0-9/100", "bytes 0-9/*" and "bytes */100". INVALID_ARGUMENT for anything else.
struct ContentRange {
  uint64_t first = 0;
  uint64_t length = 0;            // 0 = the range cannot be had
  std::optional<uint64_t> total;  // of the object
};
absl::StatusOr<ContentRange> ParseContentRange(std::string_view value);

// The answer to "GET, Range: bytes=OFFSET-…" of `size` bytes, or to HEAD (size 0).
//
// Right answers to GET are: 206 with the Content-Range that was asked for, shorter only where the
// object ends; 416 beyond the object's end; 200 with the whole object, of which the wanted part is
// taken if it begins within the first 64 MiB. A 200 that ends before must tell its length, or its
// end cannot be told from a broken connection. At most the wanted bytes are kept.
//
// Errors: NOT_FOUND (404, 410), PERMISSION_DENIED (400, which is what nginx says when it misses a
// client certificate, 401, 403, 407), UNAVAILABLE (408, 425, 429, 5xx), INTERNAL (all others, and
// what does not fit the question). Thread-compatible.
class Answer {
 public:
  Answer(uint64_t offset, uint64_t size) : offset_(offset), size_(size) {}

  // One line of the head; a status line begins a new answer. False: too long, end the transfer.
  bool OnHeader(std::string_view line);
  // A piece of the body. False: the rest is not wanted, end the transfer; the answer is complete.
  bool OnBody(std::string_view data);

  // The answer is complete as far as it is wanted, whatever the transport says.
  bool complete() const { return complete_; }
  int status() const { return status_; }

  // REQUIRES: complete(), or the transport has seen the end of the body.
  absl::StatusOr<std::string> TakeBytes();
  absl::StatusOr<ObjectInfo> Info() const;  // of HEAD

 private:
  void OnField(std::string_view name, std::string_view value);
  // Decides at the body's beginning, or at its end without one, what to expect of it.
  void Begin();
  void BeginPart();
  void BeginWhole();
  absl::Status CodeError() const;

  const uint64_t offset_, size_;
  int status_ = 0;
  size_t head_bytes_ = 0;
  std::optional<uint64_t> content_length_;
  std::string content_range_;
  bool encoded_ = false;
  int64_t modified_ = 0;

  bool begun_ = false;
  bool unwanted_ = false;  // the body is an error page, or not to be believed
  bool complete_ = false;
  absl::Status error_;
  uint64_t skip_ = 0;    // bytes of the body before the wanted ones
  uint64_t expect_ = 0;  // wanted bytes in the body
  uint64_t ignored_ = 0;
  std::string bytes_;
};

}  // namespace slacker::https
