#include "snapshotter/service/node_service.h"

#include <string>
#include <utility>
#include <vector>

#include "snapshotter/service/snapshots_service.h"

namespace slacker {
namespace {

void StoreToProto(const StoreStatus& store, node_v1::Store* out) {
  for (const ReplicaStatus& place : store.places) {
    node_v1::Place* to = out->add_places();
    to->set_url(place.url);
    to->set_aside(place.aside);
    to->set_since_unix_seconds(place.since_unix_seconds);
    to->set_error(place.error);
    to->set_reads(place.reads);
    to->set_failures(place.failures);
    to->set_spared(place.spared);
  }
  node_v1::Breaker* breaker = out->mutable_breaker();
  breaker->set_state(store.breaker.state);
  breaker->set_since_unix_seconds(store.breaker.since_unix_seconds);
  breaker->set_next_probe_unix_seconds(store.breaker.next_probe_unix_seconds);
  breaker->set_refused(store.breaker.refused);
  breaker->set_error(store.breaker.error);
  if (!store.outage.silent) return;
  node_v1::Outage* outage = out->mutable_outage();
  outage->set_since_unix_seconds(store.outage.since_unix_seconds);
  outage->set_unanswered(store.outage.unanswered);
  outage->set_given_up(store.outage.given_up);
  outage->set_error(store.outage.error);
}

void CachesToProto(const CacheStatus& caches, node_v1::Caches* out) {
  out->set_max_bytes(caches.max_bytes);
  out->set_min_free_percent(caches.min_free_percent);
  out->set_free_bytes(caches.free_bytes);
  out->set_disk_bytes(caches.disk_bytes);
  out->set_over_since_unix_seconds(caches.over_since_unix_seconds);
  out->set_excess_bytes(caches.excess_bytes);
  out->set_over_error(caches.over_error);
  out->set_failing_since_unix_seconds(caches.failing_since_unix_seconds);
  out->set_failed_writes(caches.failed_writes);
  out->set_write_error(caches.write_error);
}

void FaultyLayerToProto(const FaultyLayer& layer, node_v1::FaultyLayer* out) {
  out->set_record(layer.record.ToString());
  out->set_images(layer.images);
  out->set_in_store(layer.in_store);
  out->set_since_unix_seconds(layer.since_unix_seconds);
  out->set_wrong(layer.wrong);
  out->set_chunks(layer.chunks);
  out->set_times(layer.times);
  out->set_error(layer.error);
}

}  // namespace

grpc::Status NodeService::Status(grpc::ServerContext* /*context*/,
                                 const node_v1::StatusRequest* /*request*/,
                                 node_v1::StatusResponse* response) {
  const NodeStatus status = control_->Status();
  response->set_version(status.version);
  response->set_pid(status.pid);
  response->set_root(status.root);
  response->set_started_unix_seconds(status.started_unix_seconds);
  for (const KernelFeature& feature : status.features) {
    node_v1::Feature* out = response->add_features();
    out->set_name(feature.name);
    out->set_found(feature.found);
    out->set_detail(feature.detail);
  }
  response->mutable_fuse()->set_directory(status.fuse_directory);
  response->mutable_fuse()->set_alive(status.fuse_alive);
  response->mutable_fuse()->set_adopted(status.fuse_adopted);
  response->mutable_keeper()->set_alive(status.keeper_alive);
  for (const std::string& name : status.kept) response->mutable_keeper()->add_kept(name);
  if (status.store.has_value()) StoreToProto(*status.store, response->mutable_store());
  CachesToProto(status.caches, response->mutable_caches());
  for (const FaultyLayer& layer : status.faulty_layers) {
    FaultyLayerToProto(layer, response->add_faulty_layers());
  }
  for (const auto& [name, value] : status.counters) {
    node_v1::Counter* out = response->add_counters();
    out->set_name(name);
    out->set_value(value);
  }
  return grpc::Status::OK;
}

grpc::Status NodeService::Scrub(grpc::ServerContext* context, const node_v1::ScrubRequest* request,
                                grpc::ServerWriter<node_v1::ScrubbedLayer>* writer) {
  std::vector<Digest> chains;
  for (const std::string& chain : request->chain_ids()) {
    const absl::StatusOr<Digest> parsed = Digest::Parse(chain);
    if (!parsed.ok()) return ToGrpc(parsed.status());
    chains.push_back(*parsed);
  }
  const auto tell = [writer](const ScrubbedLayer& layer) {
    node_v1::ScrubbedLayer out;
    out.set_record(layer.record.ToString());
    out.set_chunks(layer.chunks);
    out.set_bytes(layer.bytes);
    out.set_damaged(layer.damaged);
    out.set_repaired(layer.repaired);
    out.set_error(layer.error);
    (void)writer->Write(out);  // who has gone has cancelled, too
  };
  return ToGrpc(control_->Scrub(chains, tell, [context] { return context->IsCancelled(); }));
}

}  // namespace slacker
