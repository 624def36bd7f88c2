// A site whose nodes are CRI servers in this process.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/status.h"
#include "cmd/hellobench/site/site.h"
#include "tests/unit/cmd/hellobench/fake_cri.h"

namespace slacker::hellobench {

// Thread-safe where Node is.
class FakeSite final : public Site {
 public:
  // Sockets of nodes lie below `directory`.
  explicit FakeSite(std::string directory) : directory_(std::move(directory)) {}

  // What tests look at and set.
  std::vector<std::string> events;          // in their order
  std::function<void(FakeCri&)> on_node;    // prepares each node's CRI
  std::set<std::string> unprepared;         // images that cannot be prepared
  std::set<std::string> broken;             // snapshotters whose nodes do not start
  absl::StatusOr<std::string> output = "";  // of scripts
  absl::Status cold;                        // what MakeCold finds
  absl::Status warm;                        // what WarmServerCaches returns
  absl::Status destroyed;                   // what Destroy returns
  int64_t alive = 0, most_alive = 0;        // nodes

  absl::StatusOr<SiteImage> Prepare(const System& system, const std::string& image,
                                    Result* result) override {
    Note("prepare " + image + " " + system.snapshotter);
    if (unprepared.contains(image)) return NotFound("no " + image);
    result->phases.prepare_ms = 7;
    return SiteImage{image, "registry/" + image + ":" + system.snapshotter, 1000, 3};
  }

  absl::Status SetLink(const Link& link) override {
    Note("link " + link.name + (alive == 0 ? "" : ", with nodes"));
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<Node>> StartNode(const System& system) override {
    if (broken.contains(system.snapshotter)) return Unavailable("its daemon ended");
    most_alive = std::max(most_alive, ++alive);
    return std::make_unique<FakeNode>(this, directory_ + "/" + std::to_string(number_++));
  }
  absl::Status DropServerCaches() override {
    Note("drop");
    return absl::OkStatus();
  }
  absl::Status WarmServerCaches() override {
    Note("warm");
    return warm;
  }
  std::map<std::string, std::string> Versions() override { return {{"containerd", "9"}}; }

  void Note(const std::string& event) {
    MutexLock lock(&mutex_);
    events.push_back(event);
  }

 private:
  class FakeNode final : public Node {
   public:
    FakeNode(FakeSite* site, const std::string& socket)
        : site_(*site), socket_(socket), cri_(socket) {
      cri_.SetContainer("t stdout F hello\n", true, 0);
      if (site_.on_node) site_.on_node(cri_);
    }

    const std::string& socket() const override { return socket_; }
    void Enter(const std::function<void()>& body) override { body(); }
    absl::StatusOr<std::string> RunScript(const std::string& script,
                                          std::chrono::seconds /*limit*/) override {
      site_.Note("script " + script);
      return site_.output;
    }
    absl::Status MakeCold() override {
      site_.Note("cold");
      return site_.cold;
    }
    absl::Status ResetPeaks() override { return absl::OkStatus(); }
    // Everything grows by as much as there were pulls.
    absl::StatusOr<Counters> Count() override {
      int64_t pulls = 0;
      for (const std::string& call : cri_.calls()) pulls += call == "PullImage";
      Counters counters;
      counters.traffic.received_bytes = 1000 * pulls;
      counters.disk_bytes = 500 * pulls;
      counters.daemons = {{"containerd", 0.5 * static_cast<double>(pulls), 1 << 20}};
      return counters;
    }
    absl::Status Destroy() override {
      --site_.alive;
      return site_.destroyed;
    }

   private:
    FakeSite& site_;
    const std::string socket_;
    FakeCri cri_;
  };

  const std::string directory_;
  int number_ = 0;
  Mutex mutex_;
};

}  // namespace slacker::hellobench
