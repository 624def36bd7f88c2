#include "backend/memory/memory_backend.h"

#include <utility>

#include "backend/base/clock.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr int kThreads = 2;

}  // namespace

class MemoryBackend::Writer final : public ObjectWriter {
 public:
  Writer(MemoryBackend* backend, std::string_view name) : backend_(backend), name_(name) {}
  absl::Status Append(std::string_view data) override {
    content_.append(data);
    return absl::OkStatus();
  }
  absl::Status Commit() override {
    backend_->Store(name_, std::move(content_), /*replace=*/false);
    return absl::OkStatus();
  }

 private:
  MemoryBackend* const backend_;
  const std::string name_;
  std::string content_;
};

MemoryBackend::MemoryBackend() : reads_("memory-store", kThreads) {}

void MemoryBackend::ReadAsync(std::string_view name, uint64_t offset, uint64_t size,
                              ReadCallback done) {
  reads_.Add([this, name = std::string(name), offset, size, done = std::move(done)] {
    if (absl::Status bad = ValidateRead(name, size); !bad.ok()) return done(bad);
    auto object = Find(name);
    if (!object.ok()) return done(object.status());
    const std::string& content = *object->content;
    done(offset < content.size() ? content.substr(offset, size) : std::string());
  });
}

absl::StatusOr<ObjectInfo> MemoryBackend::Stat(std::string_view name) {
  RETURN_IF_ERROR(ValidateObjectName(name));
  ASSIGN_OR_RETURN(const Object object, Find(name));
  return ObjectInfo{object.content->size(), object.modified_unix_seconds};
}

absl::StatusOr<std::unique_ptr<ObjectWriter>> MemoryBackend::Create(std::string_view name) {
  RETURN_IF_ERROR(ValidateObjectName(name));
  return std::make_unique<Writer>(this, name);
}

absl::Status MemoryBackend::Replace(std::string_view name, std::string_view content) {
  RETURN_IF_ERROR(ValidateObjectName(name));
  Store(std::string(name), std::string(content), /*replace=*/true);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> MemoryBackend::List(std::string_view prefix) {
  RETURN_IF_ERROR(ValidateListPrefix(prefix));
  std::vector<std::string> names;
  MutexLock lock(&mutex_);
  for (auto it = objects_.lower_bound(prefix); it != objects_.end(); ++it) {
    if (std::string_view(it->first).substr(0, prefix.size()) != prefix) break;
    names.push_back(it->first);
  }
  return names;
}

absl::Status MemoryBackend::Remove(std::string_view name) {
  RETURN_IF_ERROR(ValidateObjectName(name));
  MutexLock lock(&mutex_);
  if (auto it = objects_.find(name); it != objects_.end()) objects_.erase(it);
  return absl::OkStatus();
}

absl::Status MemoryBackend::Move(std::string_view from, std::string_view to) {
  RETURN_IF_ERROR(ValidateObjectName(from));
  RETURN_IF_ERROR(ValidateObjectName(to));
  MutexLock lock(&mutex_);
  const auto it = objects_.find(from);
  if (it == objects_.end()) return NotFound("no object " + std::string(from));
  Object object = std::move(it->second);
  objects_.erase(it);
  objects_.insert_or_assign(std::string(to), std::move(object));
  return absl::OkStatus();
}

absl::StatusOr<MemoryBackend::Object> MemoryBackend::Find(std::string_view name) {
  MutexLock lock(&mutex_);
  auto it = objects_.find(name);
  if (it == objects_.end()) return NotFound("no object " + std::string(name));
  return it->second;
}

void MemoryBackend::Store(const std::string& name, std::string content, bool replace) {
  Object object{std::make_shared<const std::string>(std::move(content)),
                SystemClock().WallNanos() / 1'000'000'000};
  MutexLock lock(&mutex_);
  if (replace) {
    objects_.insert_or_assign(name, std::move(object));
  } else {
    objects_.try_emplace(name, std::move(object));
  }
}

}  // namespace slacker
