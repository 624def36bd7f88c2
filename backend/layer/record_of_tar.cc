#include "backend/layer/record_of_tar.h"

#include <pthread.h>

#include <utility>

#include "backend/base/start_thread.h"
#include "backend/base/status.h"
#include "backend/layer/tar_reader.h"
#include "backend/record/layer_codec.h"

namespace slacker {
namespace {

constexpr size_t kPieceBytes = 256 << 10;

absl::StatusOr<Digest> ReadRecord(ByteSource& tar, uint32_t chunk_size) {
  ASSIGN_OR_RETURN(const LayerTables tables,
                   ReadLayerTar(tar, chunk_size, {},
                                [](const Digest&, std::string_view) { return absl::OkStatus(); }));
  ASSIGN_OR_RETURN(const EncodedLayer encoded, EncodeLayer(tables));
  return encoded.record.digest;
}

}  // namespace

class RecordOfTar::Source final : public ByteSource {
 public:
  explicit Source(RecordOfTar* from) : from_(from) {}

  absl::StatusOr<std::string_view> Next() override {
    MutexLock lock(&from_->mutex_);
    while (!from_->waiting_.has_value() && !from_->ended_) from_->changed_.Wait(&from_->mutex_);
    piece_ = std::move(from_->waiting_).value_or("");
    from_->waiting_.reset();
    from_->changed_.SignalAll();
    return piece_;
  }

 private:
  RecordOfTar* const from_;
  std::string piece_;
};

RecordOfTar::RecordOfTar() : record_(Internal("the tar is not read to its end")) {}

absl::StatusOr<std::unique_ptr<RecordOfTar>> RecordOfTar::Start(uint32_t chunk_size) {
  std::unique_ptr<RecordOfTar> record(new RecordOfTar);
  ASSIGN_OR_RETURN(record->thread_, StartThread([record = record.get(), chunk_size] {
                     (void)pthread_setname_np(pthread_self(), "slk-record");  // only a label
                     record->Read(chunk_size);
                   }));
  return record;
}

void RecordOfTar::Read(uint32_t chunk_size) {
  Source source(this);
  record_ = ReadRecord(source, chunk_size);
  MutexLock lock(&mutex_);
  done_ = true;
  changed_.SignalAll();
}

RecordOfTar::~RecordOfTar() {
  if (!thread_.joinable()) return;
  Hand(/*last=*/true);
  thread_.join();
}

void RecordOfTar::Write(std::string_view bytes) {
  piece_ += bytes;
  if (piece_.size() >= kPieceBytes) Hand(/*last=*/false);
}

void RecordOfTar::Hand(bool last) {
  MutexLock lock(&mutex_);
  while (waiting_.has_value() && !done_) changed_.Wait(&mutex_);
  if (!piece_.empty()) waiting_ = std::exchange(piece_, {});
  ended_ = ended_ || last;
  changed_.SignalAll();
}

absl::StatusOr<Digest> RecordOfTar::Finish() {
  Hand(/*last=*/true);
  thread_.join();
  return record_;
}

}  // namespace slacker
