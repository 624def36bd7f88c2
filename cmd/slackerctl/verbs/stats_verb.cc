#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "backend/base/status.h"
#include "backend/source/platform.h"
#include "backend/upkeep/stats.h"
#include "cmd/slackerctl/verbs/kept_store.h"
#include "cmd/slackerctl/verbs/verbs.h"

namespace slacker::ctl {
namespace {

std::string Percent(uint64_t part, uint64_t whole) {
  char text[32] = "-";
  if (whole > 0) {
    (void)std::snprintf(text, sizeof text, "%.1f %%",
                        100 * static_cast<double>(part) / static_cast<double>(whole));
  }
  return text;
}

absl::StatusOr<StoreStats> Measure(const CommonArguments& common) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Backend> store, OpenKeptStore(common.store));
  return MeasureStore(*store);
}

void PrintStats(const StoreStats& stats, const Console& console) {
  const auto step = [&](const char* what, uint64_t bytes, const char* of, uint64_t whole) {
    return std::vector<Cell>{
        TextCell(what), SizeCell(bytes),
        TextCell(whole > 0 ? Percent(bytes, whole) + " of " + of : std::string())};
  };
  PrintRows(console, {"CONTENT", "SIZE", ""},
            {step("all images, each on its own", stats.logical_bytes, "", 0),
             step("each layer once", stats.layer_bytes, "all images", stats.logical_bytes),
             step("each file once", stats.file_bytes, "the layers", stats.layer_bytes),
             step("each chunk once", stats.chunk_bytes, "the layers", stats.layer_bytes),
             step("as stored", stats.stored_chunk_bytes, "the chunks", stats.chunk_bytes)});
  console.out << '\n';
  PrintRows(console, {"OBJECTS", "SIZE", ""},
            {step("packs", stats.pack_bytes, "the store", stats.total_bytes),
             step("indexes", stats.index_bytes, "the store", stats.total_bytes),
             step("records", stats.record_bytes, "the store", stats.total_bytes),
             step("tar parts", stats.tar_bytes, "the store", stats.total_bytes),
             step("locations", stats.location_bytes, "the store", stats.total_bytes),
             step("others", stats.other_bytes, "the store", stats.total_bytes),
             step("all", stats.total_bytes, "the images as compressed by their registries",
                  stats.compressed_image_bytes)});
  console.out << '\n';
  std::vector<std::vector<Cell>> rows;
  for (const ImageStats& image : stats.per_image) {
    rows.push_back({TextCell(image.entry.name), TextCell(FormatPlatform(image.entry.platform)),
                    CountCell(image.layers), SizeCell(image.content_bytes),
                    SizeCell(image.stored_bytes),
                    TextCell(Percent(image.shared_bytes, image.stored_bytes))});
  }
  PrintRows(console, {"IMAGE", "PLATFORM", "LAYERS", "CONTENT", "STORED", "SHARED"}, rows);
}

nlohmann::json StatsJson(const StoreStats& stats) {
  nlohmann::json images = nlohmann::json::array();
  for (const ImageStats& image : stats.per_image) {
    nlohmann::json json = ImageJson(image.entry);
    json["layers"] = image.layers;
    json["content_bytes"] = image.content_bytes;
    json["stored_bytes"] = image.stored_bytes;
    json["shared_bytes"] = image.shared_bytes;
    images.push_back(std::move(json));
  }
  return {{"images", std::move(images)},
          {"layers", stats.layers},
          {"logical_bytes", stats.logical_bytes},
          {"layer_bytes", stats.layer_bytes},
          {"file_bytes", stats.file_bytes},
          {"chunk_bytes", stats.chunk_bytes},
          {"stored_chunk_bytes", stats.stored_chunk_bytes},
          {"files", stats.files},
          {"unique_files", stats.unique_files},
          {"chunks", stats.chunks},
          {"unique_chunks", stats.unique_chunks},
          {"compressed_image_bytes", stats.compressed_image_bytes},
          {"packs", stats.packs},
          {"pack_bytes", stats.pack_bytes},
          {"index_bytes", stats.index_bytes},
          {"record_bytes", stats.record_bytes},
          {"tar_bytes", stats.tar_bytes},
          {"location_bytes", stats.location_bytes},
          {"other_bytes", stats.other_bytes},
          {"total_bytes", stats.total_bytes}};
}

int RunStats(const CommonArguments& common, const Console& console) {
  return ShowReport(Measure(common), common.json, console, StatsJson, PrintStats);
}

Action DeclareStats(Command* command) {
  auto common = std::make_shared<CommonArguments>();
  AddCommon(command, common.get());
  return [common](const Console& console) { return RunStats(*common, console); };
}

}  // namespace

const Verb kStatsVerb = {"stats", "How large the store is, and what it saves", DeclareStats};

}  // namespace slacker::ctl
