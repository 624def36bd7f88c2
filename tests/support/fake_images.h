// Images without a store: a test says what is published and what goes wrong. An attached image is a
// real, empty directory beside the ordinary ones. Thread-safe.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "snapshotter/images/images.h"

namespace slacker::testing {

class FakeImages final : public Images {
 public:
  // Trees appear below <root>/snapshots.
  explicit FakeImages(std::string root) : root_(std::move(root)) {}

  void Publish(const Digest& chain) {
    MutexLock lock(&mutex_);
    published_.insert(chain);
  }
  // What Ensure and Attach answer from now on; OK = as it should be.
  void FailEnsure(absl::Status status) {
    MutexLock lock(&mutex_);
    ensure_status_ = std::move(status);
  }
  void FailAttach(absl::Status status) {
    MutexLock lock(&mutex_);
    attach_status_ = std::move(status);
  }
  void SetUsage(absl::StatusOr<SnapshotUsage> usage) {
    MutexLock lock(&mutex_);
    usage_ = std::move(usage);
  }
  void FailAllowed(absl::Status status) {
    MutexLock lock(&mutex_);
    allowed_status_ = std::move(status);
  }
  int ensured() const { return Locked(ensured_); }
  int attached() const { return Locked(attached_); }
  int collected() const { return Locked(collected_); }
  int pins() const { return Locked(pins_); }
  // Calls of any method.
  int asked() const { return Locked(asked_); }

  absl::StatusOr<ImagePin> Ensure(const Digest& chain_id, const Labels& /*hints*/) override {
    MutexLock lock(&mutex_);
    ++asked_;
    ++ensured_;
    RETURN_IF_ERROR(ensure_status_);
    if (!published_.contains(chain_id)) return NotFound("not published");
    ++pins_;
    return ImagePin([this] {
      MutexLock relock(&mutex_);
      --pins_;
    });
  }

  absl::Status CheckAllowed(const Digest& /*chain_id*/, const Labels& /*hints*/) override {
    MutexLock lock(&mutex_);
    return allowed_status_;
  }

  absl::StatusOr<std::string> Attach(const Digest& chain_id) override {
    MutexLock lock(&mutex_);
    ++asked_;
    ++attached_;
    RETURN_IF_ERROR(attach_status_);
    const int number =
        numbers_.emplace(chain_id, static_cast<int>(numbers_.size()) + 1).first->second;
    const std::string path = root_ + "/snapshots/i" + std::to_string(number) + "/fs";
    std::filesystem::create_directories(path);
    return path;
  }

  absl::StatusOr<SnapshotUsage> Usage(const Digest& /*chain_id*/) override {
    MutexLock lock(&mutex_);
    ++asked_;
    return usage_;
  }

  absl::Status Collect() override {
    MutexLock lock(&mutex_);
    ++asked_;
    ++collected_;
    return absl::OkStatus();
  }

 private:
  int Locked(const int& field) const {
    MutexLock lock(&mutex_);
    return field;
  }

  const std::string root_;
  mutable Mutex mutex_;
  std::set<Digest> published_;
  std::map<Digest, int> numbers_;
  absl::Status ensure_status_;
  absl::Status attach_status_;
  absl::Status allowed_status_;
  absl::StatusOr<SnapshotUsage> usage_ = SnapshotUsage{};
  int ensured_ = 0, attached_ = 0, collected_ = 0, pins_ = 0, asked_ = 0;
};

}  // namespace slacker::testing
