// Traces as people and programs read them.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/store/start_trace.h"
#include "backend/view/image_view.h"
#include "cmd/slackerctl/output.h"

namespace slacker::ctl {

// Of one file, read at a stretch.
struct TracedPart {
  std::string path;  // one of the file's; "" = of no visible file
  uint64_t offset = 0, bytes = 0;
  uint32_t starts = 0;
};

// What is usual in a trace, in its order. DATA_LOSS: it is of other records than the view.
absl::StatusOr<std::vector<TracedPart>> PartsOf(const StartTrace& trace, const ImageView& view);

void PrintParts(const Console& console, const StartTrace& trace,
                const std::vector<TracedPart>& parts);
nlohmann::json TraceJson(const StartTrace& trace, const std::vector<TracedPart>& parts);

}  // namespace slacker::ctl
