#include "cmd/slackerctl/progress.h"

#include <ostream>
#include <utility>

namespace slacker::ctl {

bool StatusLine::IsDue() {
  if (!console_->interactive) return false;
  const auto now = clock_->Monotonic();
  if (shown_.has_value() && now - *shown_ < std::chrono::milliseconds(100)) return false;
  shown_ = now;
  return true;
}

void StatusLine::Show(std::string line) {
  const size_t bytes = line.size();
  if (line.size() < line_bytes_) line.append(line_bytes_ - line.size(), ' ');
  line_bytes_ = bytes;
  console_->err << '\r' << line << std::flush;
}

void StatusLine::Clear() {
  if (line_bytes_ == 0) return;
  console_->err << '\r' << std::string(line_bytes_, ' ') << '\r' << std::flush;
  line_bytes_ = 0;
}

ProgressDisplay::ProgressDisplay(const Console* console, const Clock* clock, std::string name)
    : console_(console),
      clock_(clock),
      name_(std::move(name)),
      started_(clock->Monotonic()),
      line_(console, clock) {}

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
  if (console_->interactive) {
    if (line_.IsDue()) line_.Show(Line(progress));
    return;
  }
  if (progress.layers_done == layers_shown_) return;
  layers_shown_ = progress.layers_done;
  console_->err << Line(progress) << std::endl;
}

void VerifyDisplay::Update(const VerifyProgress& progress) {
  if (!line_.IsDue()) return;
  line_.Show(std::string(progress.below) + ": " + std::to_string(progress.done) + " of " +
             std::to_string(progress.objects) + ", " + HumanSize(progress.read_bytes) + " read");
}

}  // namespace slacker::ctl
