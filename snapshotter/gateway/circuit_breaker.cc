#include "snapshotter/gateway/circuit_breaker.h"

#include <algorithm>

namespace slacker {

CircuitBreaker::CircuitBreaker(const Clock* clock, const Options& options)
    : clock_(clock), options_(options), since_(clock->Monotonic()) {}

// In the sense of a circuit: nothing passes but a probe.
bool CircuitBreaker::IsOpen() const {
  return *std::max_element(failures_.begin(), failures_.end()) >= options_.failures_to_open;
}

bool CircuitBreaker::MayPass() const {
  return !IsOpen() || (!probing_ && clock_->Monotonic() >= next_probe_);
}

CircuitBreaker::Pass CircuitBreaker::Admit() {
  MutexLock lock(&mutex_);
  if (!MayPass()) {
    ++refused_;
    return Pass::kRefused;
  }
  if (!IsOpen()) return Pass::kAdmitted;
  probing_ = true;
  return Pass::kProbe;
}

bool CircuitBreaker::WouldAdmit() const {
  MutexLock lock(&mutex_);
  return MayPass();
}

CircuitBreaker::Change CircuitBreaker::Record(Pass pass, Size size, bool answered) {
  MutexLock lock(&mutex_);
  // One that was asked before it opened is no probe, but its outcome counts all the same.
  if (pass == Pass::kProbe) probing_ = false;
  const bool was_open = IsOpen();
  int& failures = failures_[static_cast<size_t>(size)];
  failures = answered ? 0 : failures + 1;
  const TimePoint now = clock_->Monotonic();
  if (IsOpen()) {
    // What is open because of the other size only waits for an answer of that: the next may be one.
    next_probe_ = answered ? now : now + options_.open_for;
  }
  if (IsOpen() == was_open) return Change::kUnchanged;
  since_ = now;
  if (was_open) return Change::kClosed;
  refused_ = 0;
  return Change::kOpened;
}

void CircuitBreaker::GiveBack(Pass pass) {
  MutexLock lock(&mutex_);
  if (pass == Pass::kProbe) probing_ = false;
}

CircuitBreaker::Report CircuitBreaker::Describe() const {
  MutexLock lock(&mutex_);
  Report report;
  report.since = since_;
  report.refused = refused_;
  if (!IsOpen()) return report;
  report.next_probe = next_probe_;
  const bool due = probing_ || clock_->Monotonic() >= next_probe_;
  report.state = due ? State::kHalfOpen : State::kOpen;
  return report;
}

}  // namespace slacker
