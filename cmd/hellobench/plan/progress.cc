#include "cmd/hellobench/plan/progress.h"

#include <optional>

namespace slacker::hellobench {
namespace {

// A number as people read it, with so many digits behind the point.
std::string Number(double value, int digits) {
  char text[64];
  (void)std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

std::string Span(double seconds) {
  if (seconds < 90) return Number(seconds, 0) + " s";
  const double minutes = seconds / 60;
  return minutes < 90 ? Number(minutes, 0) + " min" : Number(minutes / 60, 1) + " h";
}

std::string Millis(const std::optional<double>& value) {
  return value.has_value() ? Number(*value, 0) : "-";
}

}  // namespace

std::string ToText(const Result& result) {
  const Setup& setup = result.setup;
  std::string text = setup.image + " on " + NameOf({setup.snapshotter, setup.store});
  if (setup.nodes > 1) text += ", node " + std::to_string(result.node);
  if (setup.at_once > 1) text += ", container " + std::to_string(result.container);
  text += ": ";
  if (!result.error.empty()) return text + "failed: " + result.error;
  const Phases& phases = result.phases;
  if (!phases.total_ms.has_value()) {
    return text + "prepared in " + Millis(phases.prepare_ms) + " ms";
  }
  text += Millis(phases.total_ms) + " ms (pull " + Millis(phases.pull_ms) + ", create " +
          Millis(phases.create_ms) + ", ready " + Millis(phases.ready_ms) + ")";
  if (phases.second_ms.has_value()) text += ", again " + Millis(phases.second_ms) + " ms";
  if (const auto& received = result.traffic.received_bytes; received.has_value()) {
    text += ", " + Number(static_cast<double>(*received) / 1e6, 1) + " MB received";
  }
  for (const Figure& figure : result.figures) {
    text += ", " + figure.name + " " + Number(figure.value, 1) + " " + figure.unit;
  }
  return text;
}

std::string ToText(const MeasureProgress& progress) {
  std::string text = "[" + std::to_string(progress.done + 1) + "/" +
                     std::to_string(progress.total) + "] " + progress.doing;
  if (progress.seconds_left > 0) text += " · " + Span(progress.seconds_left) + " left";
  return text;
}

void ProgressDisplay::Show(const MeasureProgress& progress) {
  if (!terminal_) return;
  Clear();
  (void)std::fprintf(err_, "%s", ToText(progress).c_str());
  (void)std::fflush(err_);
  shown_ = true;
}

void ProgressDisplay::Show(const Result& result) {
  Clear();
  (void)std::fprintf(out_, "%s\n", ToText(result).c_str());
  (void)std::fflush(out_);
}

void ProgressDisplay::Clear() {
  if (!shown_) return;
  (void)std::fprintf(err_, "\r\x1b[K");
  (void)std::fflush(err_);
  shown_ = false;
}

}  // namespace slacker::hellobench
