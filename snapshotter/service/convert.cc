#include "snapshotter/service/convert.h"

namespace slacker {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

void TimeToProto(int64_t nanos, google::protobuf::Timestamp* out) {
  // The nanoseconds of a Timestamp count forward, before 1970 too.
  const int64_t rest = ((nanos % kNanosPerSecond) + kNanosPerSecond) % kNanosPerSecond;
  out->set_seconds((nanos - rest) / kNanosPerSecond);
  out->set_nanos(static_cast<int32_t>(rest));
}

}  // namespace

Labels LabelsFromProto(const google::protobuf::Map<std::string, std::string>& labels) {
  return {labels.begin(), labels.end()};
}

void InfoToProto(const SnapshotInfo& info, snapshots_v1::Info* out) {
  out->set_name(info.name);
  out->set_parent(info.parent);
  out->set_kind(static_cast<snapshots_v1::Kind>(info.kind));
  TimeToProto(info.created_nanos, out->mutable_created_at());
  TimeToProto(info.updated_nanos, out->mutable_updated_at());
  out->mutable_labels()->insert(info.labels.begin(), info.labels.end());
}

void MountsToProto(const std::vector<MountSpec>& mounts,
                   google::protobuf::RepeatedPtrField<snapshots_v1::Mount>* out) {
  for (const MountSpec& mount : mounts) {
    snapshots_v1::Mount* added = out->Add();
    added->set_type(mount.type);
    added->set_source(mount.source);
    for (const std::string& option : mount.options) added->add_options(option);
  }
}

}  // namespace slacker
