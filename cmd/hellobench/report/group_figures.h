// The tables and charts of what was measured under the same conditions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cmd/hellobench/report/document.h"
#include "cmd/hellobench/report/model.h"

namespace slacker::hellobench {

// With no more digits than the paper gives.
TableCell PaperNumber(std::optional<double> value, Unit unit);
// What was received, of the images' bytes, over all of `images` where both are known.
std::optional<double> PercentTogether(const Group& group, const std::string& system,
                                      const std::vector<std::string>& images);
// `id` begins the ids of all tables.
Table PaperTable(const Model& model, const Group& group, const std::string& id);
Chart CategoryChart(const Group& group, const std::string& id);
// Nothing without a baseline and another system.
std::optional<Chart> SpeedUpChart(const Model& model, const Group& group, bool development,
                                  const std::string& id);
Chart PhaseChart(const Model& model, const Group& group, const std::string& id);
// Nothing where it was not measured.
std::optional<Chart> DataChart(const Group& group, const std::string& id);
std::optional<Chart> SecondChart(const Group& group, const std::string& id);
Table ImageTable(const Group& group, const std::string& id);
std::optional<Table> SecondTable(const Group& group, const std::string& id);
std::optional<Table> DataTable(const Group& group, const std::string& id);

}  // namespace slacker::hellobench
