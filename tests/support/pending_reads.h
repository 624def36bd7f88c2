// Reads that have begun and whose answers are wanted later.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"

namespace slacker::testing {

// One thread; the answers may come on any.
class PendingReads {
 public:
  void Add(ReadBackend* backend, const std::string& name, uint64_t offset, uint64_t size) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
    answers_.push_back(promise->get_future());
    backend->ReadAsync(name, offset, size, [promise](absl::StatusOr<std::string> answer) {
      promise->set_value(std::move(answer));
    });
  }
  // Waits for the answer to the one that was added at `index`. Once for each.
  absl::StatusOr<std::string> Get(size_t index) { return answers_[index].get(); }
  // Whether all have their answers.
  bool Ended() const {
    return std::ranges::all_of(answers_, [](const auto& answer) {
      return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    });
  }

 private:
  std::vector<std::future<absl::StatusOr<std::string>>> answers_;
};

}  // namespace slacker::testing
