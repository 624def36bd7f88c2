#include "tests/fault/remote_fixture.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <memory>

#include "backend/loopback/loopback_backend.h"
#include "tests/support/status_matchers.h"

namespace slacker::testing {

void RemoteFixture::SetUp() {
  auto store = LoopbackBackend::Open(dir_ / "store", LoopbackBackend::Missing::kCreate);
  ASSERT_OK(store);
  image_ = Publish(std::shared_ptr<Backend>(*std::move(store)), {1, 2});
  Configure("store.url", "loopback:" + (dir_ / "store"));
}

std::vector<api::Info> RemoteFixture::RemoteSnapshots(Daemon& daemon, size_t layer,
                                                      const std::string& parent) {
  return daemon.List("labels.\"containerd.io/snapshot.ref\"==" + RefOf(layer) + ",parent==\"" +
                     parent + "\"");
}

std::string RemoteFixture::Pull(Daemon& daemon, const std::string& key) {
  std::string top;
  for (size_t layer = 0; layer < image_.layers.size(); ++layer) {
    const grpc::Status status = daemon.Prepare(key + std::to_string(layer), top, RefOf(layer));
    if (status.error_code() != grpc::StatusCode::ALREADY_EXISTS) return "";
    const std::vector<api::Info> found = RemoteSnapshots(daemon, layer, top);
    if (found.size() != 1) return "";
    top = found.front().name();
  }
  return top;
}

grpc::Status RemoteFixture::RemoveAll(Daemon& daemon) {
  for (size_t before = SIZE_MAX;;) {
    const std::vector<api::Info> infos = daemon.List();
    if (infos.empty() || infos.size() >= before) return daemon.Cleanup();
    before = infos.size();
    for (const api::Info& info : infos) (void)daemon.Remove(info.name());  // parents come later
  }
}

void RemoteFixture::ExpectNothingLeft() {
  for (const char* name : {"/snapshots", "/images", "/records", "/blobs"}) {
    std::vector<std::string> left;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + name)) {
      if (entry.path().filename().string().starts_with(".new-")) continue;  // a spare directory
      left.push_back(entry.path());
    }
    EXPECT_THAT(left, ::testing::IsEmpty());
  }
}

}  // namespace slacker::testing
