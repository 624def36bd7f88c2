// Results, put in order for reports: by what they were measured under, by snapshotter, by image.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cmd/hellobench/report/statistics.h"
#include "cmd/hellobench/results/result.h"

namespace slacker::hellobench {

// What all others are measured beside.
inline constexpr std::string_view kBaseline = "overlayfs";
// The scenario of results that are no run: an image was pushed, converted or published for a snapshotter.
inline constexpr std::string_view kPreparation = "prepare";

// What a run's figures depend on beside its image and its snapshotter.
struct Conditions {
  std::string scenario;
  int64_t nodes = 1;
  int64_t at_once = 1;
  std::string link;
  std::string server_cache;
  auto operator<=>(const Conditions&) const = default;
};
Conditions ConditionsOf(const Setup& setup);
std::string NameOf(const Conditions& conditions);  // "1gbit, 8 nodes, cold servers"
// The snapshotter, with the store that it reads from: "slacker/nfs". Both are called a system here.
std::string SystemOf(const Setup& setup);
// "slacker" of "slacker/nfs".
std::string SnapshotterOf(const std::string& system);

// What is asked of a run; nothing where it was not measured.
using Measure = std::optional<double> (*)(const Result& result);
std::optional<double> PrepareMs(const Result& result);
std::optional<double> PullMs(const Result& result);
std::optional<double> CreateMs(const Result& result);
std::optional<double> ReadyMs(const Result& result);
std::optional<double> RunMs(const Result& result);  // create and ready, the paper's "run"
std::optional<double> TotalMs(const Result& result);
std::optional<double> SecondMs(const Result& result);
std::optional<double> ReceivedBytes(const Result& result);
std::optional<double> Requests(const Result& result);      // to registry and store
std::optional<double> CpuSeconds(const Result& result);    // of all daemons
std::optional<double> PeakRssBytes(const Result& result);  // all daemons' peaks, added
std::optional<double> DiskBytes(const Result& result);
std::optional<double> ImageBytes(const Result& result);
std::optional<double> ReceivedPercent(const Result& result);  // of the image's bytes

// The repetitions of one setup, on all of its nodes, whichever file they came from.
struct Runs {
  std::string category;
  std::vector<Result> results;

  int64_t count() const { return static_cast<int64_t>(results.size()); }
  int64_t Failed() const;
  // Of the runs that got there; a failed run has no figures here.
  std::vector<double> Values(Measure measure) const;
  std::optional<Spread> Of(Measure measure) const;
  std::optional<double> MedianOf(Measure measure) const;
  // Of the last container of those that started at once, for each time that they did and all got there.
  std::vector<double> Last(Measure measure) const;
};

// What a scenario measured beside all that, by name.
struct FigureSpread {
  std::string unit;
  Spread spread;
};
std::map<std::string, FigureSpread> FiguresOf(const Runs& runs);

// What was measured under the same conditions.
struct Group {
  Conditions conditions;
  std::vector<std::string> systems;                          // the baseline first
  std::vector<std::string> images;                           // by category, then by name
  std::map<std::pair<std::string, std::string>, Runs> runs;  // by system and image

  const Runs* Find(const std::string& system, const std::string& image) const;
  // For each image where there is one.
  std::map<std::string, double> Medians(const std::string& system, Measure measure) const;
  std::string CategoryOf(const std::string& image) const;
  // Those that all systems have got ready.
  std::vector<std::string> CommonImages() const;
};

struct SessionSpan {
  Session session;
  std::string first;  // when its first run began, and its last
  std::string last;
  std::vector<Result> results;  // in the order of their positions
};

class Model {
 public:
  explicit Model(const std::vector<Result>& results);

  // Starts before other scenarios; fewer nodes before more.
  const std::vector<Group>& groups() const { return groups_; }
  const std::vector<SessionSpan>& sessions() const { return sessions_; }
  const std::vector<std::string>& categories() const { return categories_; }
  // Starts of containers; preparations of images are counted apart.
  int64_t runs() const { return runs_; }
  int64_t failed() const { return failed_; }
  int64_t preparations() const { return preparations_count_; }
  int64_t failed_preparations() const { return failed_preparations_; }

  // What preparing an image for a system took over this link; without one for this link, over others.
  std::optional<double> PrepareMedian(const std::string& system, const std::string& image,
                                      const std::string& link) const;
  std::optional<Spread> PrepareSpread(const std::string& system, const std::string& image,
                                      const std::string& link) const;
  // What preparing told of an image beside that, by the figure's name.
  std::optional<double> PrepareFigure(const std::string& system, const std::string& image,
                                      const std::string& name) const;
  // The paper's cycles, in ms by image: deployment is pull, create and ready; development has what comes
  // before a pull too.
  std::map<std::string, double> Deployment(const Group& group, const std::string& system) const;
  std::map<std::string, double> Development(const Group& group, const std::string& system) const;

 private:
  void AddPreparation(const Result& result);

  std::vector<Group> groups_;
  std::vector<SessionSpan> sessions_;
  std::vector<std::string> categories_;
  // By system and image, then by link.
  std::map<std::pair<std::string, std::string>, std::map<std::string, std::vector<double>>>
      preparations_;
  int64_t runs_ = 0;
  int64_t failed_ = 0;
  int64_t preparations_count_ = 0;
  int64_t failed_preparations_ = 0;
};

// baseline / value for each image that is in both: 2 is twice as fast.
std::map<std::string, double> SpeedUps(const std::map<std::string, double>& baseline,
                                       const std::map<std::string, double>& values);
std::vector<double> ValuesOf(const std::map<std::string, double>& by_name);

// Another system that gets there sooner, or does more in the same time.
struct Slower {
  std::string system;
  std::string measure;  // "start", "second run", "publication and start", or a figure's name
  std::string than;
  int64_t compared = 0;
  struct Case {
    std::string image;
    Conditions conditions;
    double ratio = 1;            // how many times slower, by the medians
    bool single = false;         // one side has one run, of which nobody knows how others would be
    bool beyond_spread = false;  // of several: the best run was slower than the other's worst
  };
  std::vector<Case> cases;  // the worst first; perhaps none
};
// Every system but the baseline beside all systems of other snapshotters, under the same conditions and with
// the same image. Systems of slacker first.
std::vector<Slower> FindSlower(const Model& model);

}  // namespace slacker::hellobench
