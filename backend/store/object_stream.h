// An object of the store from its beginning to its end, by bounded reads of which several are under
// way: as much memory whatever its length, and one round trip for a small one.
#pragma once

#include <cstdint>
#include <deque>
#include <future>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/backend.h"
#include "backend/record/paged_object.h"

namespace slacker {

// Thread-compatible. The first read is of kFirstBytes; if the object goes on behind it, kAhead reads
// of kStepBytes each are kept under way.
class ObjectStream final : public ObjectBytes {
 public:
  static constexpr uint64_t kFirstBytes = 1 << 20;
  static constexpr uint64_t kStepBytes = 1 << 20;
  static constexpr size_t kAhead = 4;

  // `copy`: what has been handed over is appended to it, too; may be null.
  ObjectStream(ReadBackend* backend, std::string name, std::string* copy)
      : backend_(backend), name_(std::move(name)), copy_(copy) {}

  absl::StatusOr<std::string_view> Next(uint64_t size) override;

 private:
  using Bytes = absl::StatusOr<std::string>;
  struct Read {
    uint64_t size = 0;
    std::future<Bytes> bytes;
  };

  void Ask(uint64_t size);
  // Waits for the next read, and asks for more.
  absl::Status Load();

  ReadBackend* const backend_;
  const std::string name_;
  std::string* const copy_;
  std::deque<Read> reads_;
  uint64_t asked_ = 0;  // bytes, from the beginning
  bool ended_ = false;
  std::string here_;
  size_t used_ = 0;  // of here_
};

}  // namespace slacker
