// The record that a tar gives, from bytes that are pushed: whether a record says what its tar says. That a
// record's tar part and chunks give back a tar of the right digest proves nothing of its nodes and entries,
// which nodes mount; but equal tars have equal records (tar_reader.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/base/mutex.h"

namespace slacker {

// Reads the tar on a thread of its own, which has the priority of who makes it. Memory: as ReadLayerTar, and
// two pieces of 256 KiB. Thread-compatible.
class RecordOfTar {
 public:
  // RESOURCE_EXHAUSTED: there is no thread for it.
  static absl::StatusOr<std::unique_ptr<RecordOfTar>> Start(uint32_t chunk_size);
  // What has not been read is not.
  ~RecordOfTar();
  RecordOfTar(const RecordOfTar&) = delete;
  RecordOfTar& operator=(const RecordOfTar&) = delete;

  // The next bytes. Waits while the thread has two pieces before it.
  void Write(std::string_view bytes);
  // After the last: the record's digest, its name in a store. INVALID_ARGUMENT: it is no tar that a layer can be
  // made of, or beyond the limits.
  absl::StatusOr<Digest> Finish();

 private:
  class Source;
  RecordOfTar();
  void Read(uint32_t chunk_size);
  void Hand(bool last);

  Mutex mutex_;
  CondVar changed_;
  std::optional<std::string> waiting_ ABSL_GUARDED_BY(mutex_);  // for the thread
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;                  // nothing comes after it
  bool done_ ABSL_GUARDED_BY(mutex_) = false;                   // the thread has no use for more
  std::string piece_;
  absl::StatusOr<Digest> record_;  // the thread's, until it is joined
  std::thread thread_;
};

}  // namespace slacker
