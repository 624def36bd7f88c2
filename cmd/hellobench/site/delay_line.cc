#include "cmd/hellobench/site/delay_line.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace slacker::hellobench {
namespace {

constexpr size_t kReadBytes = 256 << 10;

bool Later(int error) { return error == EAGAIN || error == EINTR; }

}  // namespace

void DelayLine::Take(Time now, What what, std::string bytes) {
  queued_bytes_ += bytes.size();
  pieces_.push_back({now + delay_, what, std::move(bytes)});
}

void DelayLine::Read(Time now) {
  std::string bytes(kReadBytes, '\0');
  const ssize_t got = recv(from_, bytes.data(), bytes.size(), 0);
  if (got < 0) {
    if (!Later(errno)) Reset(now);
    return;
  }
  bytes.resize(static_cast<size_t>(got));
  read_all_ = bytes.empty();
  Take(now, read_all_ ? What::kEnd : What::kBytes, std::move(bytes));
}

void DelayLine::Reset(Time now) {
  if (reset_) return;
  reset_ = read_all_ = true;
  Take(now, What::kReset, "");
}

void DelayLine::Write(Time now) {
  while (IsDue(now)) {
    if (!Send(pieces_.front())) {
      if (state_ == State::kRefused) pieces_.clear();
      return;
    }
    pieces_.pop_front();
  }
}

bool DelayLine::Send(const Piece& piece) {
  switch (piece.what) {
    case What::kBytes:
      return SendBytes(piece.bytes);
    case What::kEnd:
      state_ = State::kEnded;
      if (shutdown(to_, SHUT_WR) != 0) Refuse();
      return state_ == State::kEnded;
    case What::kReset:
      state_ = State::kReset;
      return true;
  }
  return false;
}

bool DelayLine::SendBytes(const std::string& bytes) {
  const ssize_t put =
      send(to_, bytes.data() + sent_bytes_, bytes.size() - sent_bytes_, MSG_NOSIGNAL);
  if (put < 0) {
    if (!Later(errno)) Refuse();
    return false;
  }
  sent_bytes_ += static_cast<size_t>(put);
  if (sent_bytes_ < bytes.size()) return false;
  queued_bytes_ -= bytes.size();
  sent_bytes_ = 0;
  return true;
}

void DelayLine::Refuse() {
  state_ = State::kRefused;
  read_all_ = true;
}

}  // namespace slacker::hellobench
