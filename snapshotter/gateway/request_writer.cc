#include "snapshotter/gateway/request_writer.h"

#include <utility>

#include "backend/base/image_reference.h"
#include "backend/base/log.h"
#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr char kImageLayersHint[] = "containerd.io/snapshot/cri.image-layers";
constexpr char kImageRefHint[] = "containerd.io/snapshot/cri.image-ref";

}  // namespace

RequestWriter::RequestWriter(std::shared_ptr<Backend> store, Platform platform,
                             std::function<void()> on_written)
    : store_(std::move(store)),
      platform_(std::move(platform)),
      on_written_(std::move(on_written)) {}

RequestWriter::~RequestWriter() {
  MutexLock lock(&mutex_);
  stopping_ = true;
}

void RequestWriter::Note(const std::string& ref, const Labels& labels,
                         const std::string& name_space) {
  const auto chain = Digest::Parse(ref);
  const auto reference = labels.find(kImageRefHint);
  const auto layers = labels.find(kImageLayersHint);
  if (!chain.ok()) return;
  MutexLock lock(&mutex_);
  if (reference == labels.end() || layers == labels.end()) {
    if (!std::exchange(told_, true)) {
      Log(LogLevel::kWarning,
          "pulls that do not name their image cannot be requested (annotations are off), ignoring");
    }
    return;
  }
  // The CRI plugin lists the layers from this one up to the top.
  if (layers->second.find(',') != std::string::npos) return;
  const auto parsed = ParseImageReference(reference->second);
  if (!parsed.ok() || waiting_.size() >= kMaxWaiting) return;
  if (!waiting_.insert(*chain).second) return;
  thread_.Add([this, request = PublishRequest{parsed->ToString(), *chain, platform_, name_space}] {
    Write(request);
  });
}

void RequestWriter::Leave(StartTrace trace) {
  MutexLock lock(&mutex_);
  if (traces_waiting_ >= kMaxWaiting) return;
  ++traces_waiting_;
  thread_.Add([this, trace = std::move(trace)] { Write(trace); });
}

void RequestWriter::Write(const StartTrace& trace) {
  {
    MutexLock lock(&mutex_);
    --traces_waiting_;
    if (stopping_) return;
  }
  const absl::Status status = LeaveTrace(*store_, trace);
  // Enough of them are not worth a line.
  if (status.ok() || absl::IsResourceExhausted(status)) return;
  Log(LogLevel::kWarning, "a trace cannot be left in the store, ignoring",
      {{"chain", trace.chain_id.ToString()}, {"error", Message(status)}});
}

void RequestWriter::Write(const PublishRequest& request) {
  {
    MutexLock lock(&mutex_);
    if (stopping_) return;
  }
  const absl::Status status = WriteRequest(*store_, request);
  if (status.ok()) {
    Log(LogLevel::kDebug, "publication requested",
        {{"image", request.reference}, {"chain", request.chain_id.ToString()}});
    if (on_written_) on_written_();
  } else {
    Log(LogLevel::kWarning, "publication cannot be requested, ignoring",
        {{"image", request.reference}, {"error", Message(status)}});
  }
  MutexLock lock(&mutex_);
  waiting_.erase(request.chain_id);
}

}  // namespace slacker
