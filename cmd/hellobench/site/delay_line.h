// One direction of a connection over a link with latency.
//
// Whatever comes, bytes, an end, a reset, leaves so much later, in the order in which it came, however
// much is on the way meanwhile. The sockets do not block, and outlive this. Who calls says what time it
// is. Thread-compatible.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <string>

namespace slacker::hellobench {

class DelayLine {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class State {
    kOpen,
    kEnded,    // its end was passed on
    kReset,    // a reset was due: to be passed on by closing the socket that it goes to
    kRefused,  // the socket that it goes to takes nothing more
  };

  // `most`: so many bytes, and no more is read until some have left; one read may go beyond it.
  DelayLine(int from, int to, std::chrono::microseconds delay, size_t most)
      : from_(from), to_(to), delay_(delay), most_(most) {}

  State state() const { return state_; }
  bool WantsToRead() const { return !read_all_ && queued_bytes_ < most_; }
  // Whether there is something to pass on.
  bool IsDue(Time now) const { return !pieces_.empty() && pieces_.front().due <= now; }
  // When there is; Time::max(): never, as things are.
  Time Due() const { return pieces_.empty() ? Time::max() : pieces_.front().due; }

  // Takes in what has come, at most once 256 KiB. An error of the socket is a reset.
  void Read(Time now);
  // Behind what has come, a reset: the sender is gone. Once is enough.
  void Reset(Time now);
  // Passes on what is due, as far as it is taken.
  void Write(Time now);

 private:
  enum class What { kBytes, kEnd, kReset };
  struct Piece {
    Time due;
    What what;
    std::string bytes;
  };

  void Take(Time now, What what, std::string bytes);
  // False: not now, or, if that is the state, never.
  bool Send(const Piece& piece);
  bool SendBytes(const std::string& bytes);
  void Refuse();

  const int from_, to_;
  const std::chrono::microseconds delay_;
  const size_t most_;
  std::deque<Piece> pieces_;
  size_t queued_bytes_ = 0;
  size_t sent_bytes_ = 0;  // of the first piece
  bool read_all_ = false;
  bool reset_ = false;
  State state_ = State::kOpen;
};

}  // namespace slacker::hellobench
