// status, of a slackerd that says what it was told to.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include "snapshotter/metastore/db.h"
#include "snapshotter/service/node_service.h"
#include "tests/support/fake_node_control.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/cmd/slackerctl/slackerctl_fixture.h"

namespace slacker::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class StatusVerbTest : public testing::SlackerctlTest {
 protected:
  StatusVerbTest() {
    EXPECT_OK(Db::Open(dir_ / "slacker.db").status());
    control_.status.root = dir_.path();
    control_.status.store.emplace();
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + dir_ / "sock", grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
  }
  ~StatusVerbTest() override { server_->Shutdown(); }

  std::string Text() {
    EXPECT_EQ(Run({"status", "--address", dir_ / "sock"}), kExitOk) << err_.str();
    return out_.str();
  }
  nlohmann::json Json() {
    EXPECT_EQ(Run({"status", "--address", dir_ / "sock", "--json"}), kExitOk) << err_.str();
    return nlohmann::json::parse(out_.str(), nullptr, false);
  }

  testing::FakeNodeControl control_;
  NodeService service_{&control_};
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(StatusVerbTest, WhenAllIsWellItSaysSo) {
  control_.status.store->places = {{.url = "memory:"}};
  control_.status.store->breaker.state = "closed";
  control_.status.caches.free_bytes = 3 << 20;
  control_.status.caches.disk_bytes = 9 << 20;
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("store for pulls\tasked since"));
  EXPECT_THAT(text, HasSubstr("store for reads\tanswered\n"));
  EXPECT_THAT(text, HasSubstr("caches\twithin their limits; 3.0 MiB of the disk are free\n"));
  EXPECT_THAT(text, Not(HasSubstr("wrong")));
  const nlohmann::json json = Json();
  EXPECT_EQ(json["store"]["places"][0]["aside"], false);
  EXPECT_TRUE(json["store"]["outage"].is_null());
  EXPECT_TRUE(json["caches"]["over"].is_null());
  EXPECT_TRUE(json["caches"]["failing"].is_null());
  EXPECT_EQ(json["faulty_layers"], nlohmann::json::array());
}

TEST_F(StatusVerbTest, ABreakerThatIsHalfOpenSaysThatTheNextPullTries) {
  BreakerStatus& breaker = control_.status.store->breaker;
  breaker = {.state = "half-open", .since_unix_seconds = 60, .refused = 4, .error = "timed out"};
  EXPECT_THAT(Text(), HasSubstr("store for pulls\tnot asked since 1970-01-01T00:01:00Z, the next "
                                "pull tries: timed out (4 questions spared)\n"));
  const nlohmann::json json = Json()["store"]["breaker"];
  EXPECT_EQ(json["state"], "half-open");
  EXPECT_EQ(json["refused"], 4);
  EXPECT_FALSE(json.contains("next_probe_unix_seconds"));
  breaker.state = "open";
  breaker.next_probe_unix_seconds = 90;
  EXPECT_THAT(Text(), HasSubstr("tried again at 1970-01-01T00:01:30Z: timed out"));
}

TEST_F(StatusVerbTest, APlaceThatIsAsideAndReadsThatWaitAreSaid) {
  StoreStatus& store = *control_.status.store;
  store.places = {{.url = "nfs://a/x"}, {.url = "nfs://b/x"}};
  store.places[0].aside = true;
  store.places[0].since_unix_seconds = 60;
  store.places[0].error = "no route";
  store.places[0].spared = 5;
  store.outage = {
      .silent = true, .since_unix_seconds = 61, .unanswered = 7, .given_up = 2, .error = "refused"};
  const std::string text = Text();
  EXPECT_THAT(text,
              HasSubstr("store\tnfs://a/x, set aside since 1970-01-01T00:01:00Z: no route\n"));
  EXPECT_THAT(text, HasSubstr("store\tnfs://b/x\n"));
  EXPECT_THAT(text, HasSubstr("store for reads\tnot answered since 1970-01-01T00:01:01Z: refused "
                              "(7 questions, 2 chunks given up)\n"));
  const nlohmann::json json = Json()["store"];
  EXPECT_EQ(json["places"][0]["aside"], true);
  EXPECT_EQ(json["places"][0]["spared"], 5);
  EXPECT_EQ(json["places"][1]["aside"], false);
  EXPECT_EQ(json["outage"]["given_up"], 2);
}

TEST_F(StatusVerbTest, CachesThatAreOverALimitOrCannotBeWrittenAreSaid) {
  CacheStatus& caches = control_.status.caches;
  caches.max_bytes = 100;
  caches.over_since_unix_seconds = 60;
  caches.excess_bytes = 2048;
  caches.over_error = "the rest is in use";
  EXPECT_THAT(Text(), HasSubstr("caches\tover a limit since 1970-01-01T00:01:00Z by 2.0 KiB, "
                                "nothing is added: the rest is in use\n"));
  EXPECT_EQ(Json()["caches"]["over"]["excess_bytes"], 2048);
  caches.failing_since_unix_seconds = 61;
  caches.failed_writes = 9;
  caches.write_error = "no space";
  EXPECT_THAT(Text(), HasSubstr("the rest is in use; cannot be written since "
                                "1970-01-01T00:01:01Z: no space (9 writes)\n"));
  EXPECT_EQ(Json()["caches"]["failing"]["failed_writes"], 9);
}

TEST_F(StatusVerbTest, LayersWithWrongChunksAreSaidWithTheirImages) {
  FaultyLayer layer;
  layer.record = Sha256::Of("record");
  layer.images = "docker.io/library/app:v1";
  layer.since_unix_seconds = 60;
  layer.wrong = 1;
  layer.chunks = 2;
  layer.times = 30;
  layer.error = "does not match its digest";
  control_.status.faulty_layers = {layer, layer};
  control_.status.faulty_layers[0].in_store = true;
  const std::string text = Text();
  const std::string what = "\tdocker.io/library/app:v1: since 1970-01-01T00:01:00Z 2 chunks of " +
                           layer.record.ToString() +
                           ", 1 of them still: does not match its digest (30 times)\n";
  EXPECT_THAT(text, HasSubstr("wrong in the store" + what));
  EXPECT_THAT(text, HasSubstr("wrong on the disk" + what));
  control_.status.faulty_layers[1].wrong = 0;
  EXPECT_THAT(Text(), HasSubstr("2 chunks of " + layer.record.ToString() +
                                ": does not match its digest (30 times)\n"));
  const nlohmann::json json = Json()["faulty_layers"];
  ASSERT_EQ(json.size(), 2U);
  EXPECT_EQ(json[0]["where"], "store");
  EXPECT_EQ(json[1]["where"], "disk");
  EXPECT_EQ(json[1]["times"], 30);
  EXPECT_EQ(json[1]["images"], layer.images);
}

}  // namespace
}  // namespace slacker::ctl
