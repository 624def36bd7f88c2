// Between the messages of the protocol and our types. Thread-safe.
#pragma once

#include <string>
#include <vector>

#include "snapshots.pb.h"
#include "snapshotter/snapshotter.h"

namespace slacker {

namespace snapshots_v1 = ::containerd::services::snapshots::v1;

Labels LabelsFromProto(const google::protobuf::Map<std::string, std::string>& labels);
void InfoToProto(const SnapshotInfo& info, snapshots_v1::Info* out);
void MountsToProto(const std::vector<MountSpec>& mounts,
                   google::protobuf::RepeatedPtrField<snapshots_v1::Mount>* out);

}  // namespace slacker
