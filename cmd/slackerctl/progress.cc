#include "cmd/slackerctl/progress.h"

#include <ostream>
#include <utility>

namespace slacker::ctl {

ProgressDisplay::ProgressDisplay(const Console* console, const Clock* clock, std::string name)
    : console_(console), clock_(clock), name_(std::move(name)), started_(clock->Monotonic()) {}

std::string ProgressDisplay::Line(const PublishProgress& progress) const {
  std::string line = Printable(name_) + ": layer " + std::to_string(progress.layers_done) + "/" +
                     std::to_string(progress.layers);
  if (progress.layers_reused > 0) {
    line += " (" + std::to_string(progress.layers_reused) + " in the store already)";
  }
  line += ", downloaded " + HumanSize(progress.downloaded_bytes) + " of " +
          HumanSize(progress.download_bytes) + ", stored " + HumanSize(progress.stored_bytes);
  const std::chrono::duration<double> elapsed = clock_->Monotonic() - started_;
  if (elapsed.count() >= 1) {
    const double rate = static_cast<double>(progress.downloaded_bytes) / elapsed.count();
    line += ", " + HumanSize(static_cast<uint64_t>(rate)) + "/s";
  }
  return line;
}

void ProgressDisplay::Update(const PublishProgress& progress) {
  const auto now = clock_->Monotonic();
  if (!console_->interactive) {
    if (progress.layers_done == layers_shown_) return;
    layers_shown_ = progress.layers_done;
    console_->err << Line(progress) << std::endl;
    return;
  }
  if (shown_.has_value() && now - *shown_ < std::chrono::milliseconds(100)) return;
  shown_ = now;
  std::string line = Line(progress);
  const size_t bytes = line.size();
  if (line.size() < line_bytes_) line.append(line_bytes_ - line.size(), ' ');
  line_bytes_ = bytes;
  console_->err << '\r' << line << std::flush;
}

void ProgressDisplay::Clear() {
  if (line_bytes_ == 0) return;
  console_->err << '\r' << std::string(line_bytes_, ' ') << '\r' << std::flush;
  line_bytes_ = 0;
}

}  // namespace slacker::ctl
