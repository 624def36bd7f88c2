#include "backend/store/object_stream.h"

#include <memory>
#include <utility>

#include "backend/base/status.h"

namespace slacker {

absl::StatusOr<std::string_view> ObjectStream::Next(uint64_t size) {
  while (here_.size() - used_ < size && !ended_) RETURN_IF_ERROR(Load());
  const std::string_view next = std::string_view(here_).substr(used_, size);
  used_ += next.size();
  if (copy_ != nullptr) copy_->append(next);
  return next;
}

void ObjectStream::Ask(uint64_t size) {
  // Shared: an answer may come when nobody waits for it any more.
  auto answer = std::make_shared<std::promise<Bytes>>();
  reads_.push_back({size, answer->get_future()});
  backend_->ReadAsync(name_, asked_, size,
                      [answer](Bytes bytes) { answer->set_value(std::move(bytes)); });
  asked_ += size;
}

absl::Status ObjectStream::Load() {
  if (reads_.empty()) Ask(kFirstBytes);
  Read read = std::move(reads_.front());
  reads_.pop_front();
  const Bytes bytes = read.bytes.get();
  RETURN_IF_ERROR(bytes.status());
  here_.erase(0, used_);
  used_ = 0;
  here_ += *bytes;
  ended_ = bytes->size() < read.size;
  while (!ended_ && reads_.size() < kAhead) Ask(kStepBytes);
  return absl::OkStatus();
}

}  // namespace slacker
