// A store in memory for tests of maintenance: with a clock of its own, and with a hook before each
// call, so that a test can have one operation happen in the middle of another, at every place.
// Thread-safe, but for SetHook and the clock.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "backend/memory/memory_backend.h"

namespace slacker::testing {

class StagedBackend final : public Backend {
 public:
  // Time passes only here.
  void Advance(int64_t seconds) { now_ += seconds; }
  int64_t now() const { return now_; }

  // Called before the n-th call from now, counted from 1; calls made by the hook are not counted
  // and do not call it.
  void SetHook(std::function<void(uint64_t call)> hook) {
    hook_ = std::move(hook);
    calls_ = 0;
  }
  uint64_t calls() const { return calls_; }
  // Called before each Replace, in the place of the hook.
  void SetBeforeReplace(std::function<void(std::string_view name)> before) {
    before_replace_ = std::move(before);
  }
  // Called before each Move; true: it is carried out, and its answer lost.
  void SetBeforeMove(std::function<bool(std::string_view from, std::string_view to)> before) {
    before_move_ = std::move(before);
  }

  void ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                 ReadCallback done) override {
    Pass();
    memory_.ReadAsync(name, offset, size, std::move(done));
  }
  absl::StatusOr<ObjectInfo> Stat(std::string_view name) override {
    Pass();
    absl::StatusOr<ObjectInfo> info = memory_.Stat(name);
    if (!info.ok()) return info;
    MutexLock lock(&mutex_);
    info->modified_unix_seconds = written_[std::string(name)];
    return info;
  }
  std::string Url() const override { return memory_.Url(); }
  bool IsNetwork() const override { return false; }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(std::string_view name) override {
    Pass();
    absl::StatusOr<std::unique_ptr<ObjectWriter>> writer = memory_.Create(name);
    if (!writer.ok()) return writer;
    return std::make_unique<Writer>(this, std::string(name), *std::move(writer));
  }
  absl::Status Replace(std::string_view name, std::string_view content) override {
    const auto before = before_replace_;  // which may set another one
    if (before) {
      before(name);
    } else {
      Pass();
    }
    const absl::Status status = memory_.Replace(name, content);
    if (status.ok()) Note(std::string(name));
    return status;
  }
  absl::StatusOr<std::vector<std::string>> List(std::string_view prefix) override {
    Pass();
    return memory_.List(prefix);
  }
  absl::Status Remove(std::string_view name) override {
    Pass();
    return memory_.Remove(name);
  }
  absl::Status Move(std::string_view from, std::string_view to) override {
    Pass();
    const auto before = before_move_;  // which may set another one
    const bool lost = before && before(from, to);
    RETURN_IF_ERROR(memory_.Move(from, to));
    MutexLock lock(&mutex_);
    written_[std::string(to)] = written_[std::string(from)];
    return lost ? Unavailable("the answer was lost") : absl::OkStatus();
  }

 private:
  class Writer final : public ObjectWriter {
   public:
    Writer(StagedBackend* staged, std::string name, std::unique_ptr<ObjectWriter> writer)
        : staged_(staged), name_(std::move(name)), writer_(std::move(writer)) {}
    absl::Status Append(std::string_view data) override { return writer_->Append(data); }
    absl::Status Commit() override {
      staged_->Pass();
      const bool is_new = !staged_->memory_.Stat(name_).ok();
      const absl::Status status = writer_->Commit();
      if (status.ok() && is_new) staged_->Note(name_);
      return status;
    }

   private:
    StagedBackend* const staged_;
    const std::string name_;
    const std::unique_ptr<ObjectWriter> writer_;
  };

  void Pass() {
    if (!hook_ || in_hook_.load()) return;
    const uint64_t call = ++calls_;
    in_hook_ = true;
    hook_(call);
    in_hook_ = false;
  }
  void Note(const std::string& name) {
    MutexLock lock(&mutex_);
    written_[name] = now_;
  }

  std::function<void(uint64_t)> hook_;
  std::function<bool(std::string_view, std::string_view)> before_move_;
  std::function<void(std::string_view)> before_replace_;
  std::atomic<bool> in_hook_ = false;
  std::atomic<uint64_t> calls_ = 0;
  std::atomic<int64_t> now_ = 1'700'000'000;
  Mutex mutex_;
  std::map<std::string, int64_t> written_ ABSL_GUARDED_BY(mutex_);
  MemoryBackend memory_;  // last: its destructor waits for callbacks
};

}  // namespace slacker::testing
