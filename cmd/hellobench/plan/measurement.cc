#include "cmd/hellobench/plan/measurement.h"

#include <chrono>
#include <map>
#include <utility>

#include "absl/time/time.h"
#include "backend/base/status.h"
#include "cmd/hellobench/plan/schedule.h"

namespace slacker::hellobench {
namespace {

constexpr char kPrepare[] = "prepare";
constexpr char kServersLink[] = "loopback";  // who prepares is where registry and store are

// How long steps of one kind take.
struct Pace {
  double seconds = 0;
  size_t steps = 0;
  size_t left = 0;
};

class Measurement {
 public:
  Measurement(Site& site, const std::vector<Image>& images, const Session& session,
              const MeasureOptions& options, const Clock& clock, const MeasureHooks& hooks)
      : site_(site),
        images_(images),
        session_(session),
        options_(options),
        clock_(clock),
        hooks_(hooks),
        start_(options.start) {}

  absl::Status Run(const std::vector<System>& systems) {
    const std::vector<Slot> slots =
        MakeSchedule(images_.size(), systems, options_.repetitions, session_.seed);
    for (const System& system : systems) paces_[kPrepare + NameOf(system)].left = images_.size();
    const size_t conditions = options_.links.size() * options_.at_once.size();
    for (const Slot& slot : slots) paces_[NameOf(slot.system)].left += conditions;
    total_ = slots.size() * conditions + images_.size() * systems.size();
    link_ = &options_.links.front();
    start_.at_once = options_.at_once.front();
    for (size_t image = 0; image < images_.size(); ++image) {
      for (const System& system : systems) RETURN_IF_ERROR(Prepare({image, system, 0}));
    }
    for (const Link& link : options_.links) {
      link_ = &link;
      RETURN_IF_ERROR(site_.SetLink(link));
      for (const int64_t at_once : options_.at_once) {
        start_.at_once = at_once;
        for (const Slot& slot : slots) RETURN_IF_ERROR(RunSlot(slot));
      }
    }
    return absl::OkStatus();
  }

 private:
  // What of a slot was prepared, or why it was not.
  using Prepared = absl::StatusOr<SiteImage>;

  absl::Status CheckInterrupted() const {
    const bool interrupted = options_.start.interrupted != nullptr && *options_.start.interrupted;
    return interrupted ? Cancelled("interrupted") : absl::OkStatus();
  }

  // Calls `step` between telling of it and learning how long it took.
  template <typename Step>
  absl::Status Timed(const std::string& kind, const std::string& doing, const Step& step) {
    RETURN_IF_ERROR(CheckInterrupted());
    if (hooks_.progress) hooks_.progress({done_, total_, SecondsLeft(), doing});
    const auto begin = clock_.Monotonic();
    const absl::Status status = step();
    Pace& pace = paces_[kind];
    pace.seconds += std::chrono::duration<double>(clock_.Monotonic() - begin).count();
    ++pace.steps;
    --pace.left;
    ++done_;
    RETURN_IF_ERROR(status);
    return CheckInterrupted();
  }

  // What is not known yet of one kind goes as what is known of the others.
  double SecondsLeft() const {
    double seconds = 0;
    size_t steps = 0;
    for (const auto& [kind, pace] : paces_) {
      seconds += pace.seconds;
      steps += pace.steps;
    }
    if (steps == 0) return 0;
    const double mean = seconds / static_cast<double>(steps);
    double left = 0;
    for (const auto& [kind, pace] : paces_) {
      const double each = pace.steps == 0 ? mean : pace.seconds / static_cast<double>(pace.steps);
      left += each * static_cast<double>(pace.left);
    }
    return left;
  }

  absl::Status Prepare(const Slot& slot) {
    const Image& image = images_[slot.image];
    return Timed(kPrepare + NameOf(slot.system),
                 "preparing " + image.name + " for " + NameOf(slot.system), [&] {
                   Result result;
                   Describe(slot, &result);
                   result.setup.scenario = kPrepare;
                   result.setup.link = kServersLink;
                   Prepared prepared = site_.Prepare(slot.system, image.name, &result);
                   if (prepared.ok()) {
                     SetImage(*prepared, &result);
                   } else {
                     result.error = Message(prepared.status());
                   }
                   prepared_.emplace(std::pair(slot.image, slot.system), std::move(prepared));
                   return hooks_.take(result);
                 });
  }

  absl::Status RunSlot(const Slot& slot) {
    const Image& image = images_[slot.image];
    const std::string doing = image.name + " on " + NameOf(slot.system) + " over " + link_->name +
                              ", " + std::to_string(slot.repetition + 1) + " of " +
                              std::to_string(options_.repetitions);
    return Timed(NameOf(slot.system), doing, [&]() -> absl::Status {
      Result described;
      Describe(slot, &described);
      const int64_t position = position_++;
      for (Result& result : ResultsOf(slot)) {
        result.session = described.session;
        result.setup = described.setup;
        result.time = described.time;
        result.repetition = slot.repetition;
        result.position = position;
        RETURN_IF_ERROR(hooks_.take(result));
      }
      return absl::OkStatus();
    });
  }

  std::vector<Result> ResultsOf(const Slot& slot) {
    const Prepared& prepared = prepared_.at(std::pair(slot.image, slot.system));
    if (!prepared.ok()) {
      std::vector<Result> results(1);
      results[0].error = "was not prepared";
      return results;
    }
    Task task = images_[slot.image].task;
    task.image = prepared->reference;
    std::vector<Result> results = StartAll(site_, slot.system, task, start_);
    for (Result& result : results) SetImage(*prepared, &result);
    return results;
  }

  static void SetImage(const SiteImage& image, Result* result) {
    result->image_bytes = image.bytes;
    result->image_layers = image.layers;
  }

  void Describe(const Slot& slot, Result* result) const {
    const Image& image = images_[slot.image];
    result->session = session_;
    result->setup = {.scenario = options_.scenario,
                     .image = image.name,
                     .category = std::string(NameOf(image.category)),
                     .kind = std::string(NameOf(image.kind)),
                     .snapshotter = slot.system.snapshotter,
                     .store = slot.system.store,
                     .link = link_->name,
                     .server_cache = options_.start.drop_server_cache ? "dropped" : "warm",
                     .nodes = options_.start.nodes,
                     .at_once = start_.at_once};
    result->time = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixNanos(clock_.WallNanos()),
                                    absl::UTCTimeZone());
  }

  Site& site_;
  const std::vector<Image>& images_;
  const Session& session_;
  const MeasureOptions& options_;
  const Clock& clock_;
  const MeasureHooks& hooks_;
  StartOptions start_;          // as is measured now
  const Link* link_ = nullptr;  // of options_.links
  std::map<std::pair<size_t, System>, Prepared> prepared_;
  std::map<std::string, Pace> paces_;
  size_t done_ = 0, total_ = 0;
  int64_t position_ = 0;
};

}  // namespace

std::string NameOf(const System& system) {
  return system.snapshotter + (system.store.empty() ? "" : "/" + system.store);
}

absl::Status Measure(Site& site, const std::vector<Image>& images,
                     const std::vector<System>& systems, const Session& session,
                     const MeasureOptions& options, const Clock& clock, const MeasureHooks& hooks) {
  return Measurement(site, images, session, options, clock, hooks).Run(systems);
}

}  // namespace slacker::hellobench
