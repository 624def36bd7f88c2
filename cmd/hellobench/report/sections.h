// The sections of a report, in the order in which they stand there.
#pragma once

#include <string>
#include <vector>

#include "cmd/hellobench/report/document.h"
#include "cmd/hellobench/report/model.h"

namespace slacker::hellobench {

// The whole report.
Document MakeDocument(const std::vector<Result>& results);

// What is slower than another snapshotter; says so if nothing is.
Section SlowerSection(const Model& model);
// Every case of it; nothing without any.
std::vector<Section> SlowerTableSections(const Model& model);
// Every failure with its reason.
Section FailureSection(const Model& model);
// A line for each system under each conditions.
Section SummarySection(const Model& model);
// All that was measured under the same conditions; nothing if no container was started to be timed.
// `number` makes ids unique.
std::vector<Section> GroupSections(const Model& model, const Group& group, int number);
// What several at once cost; nothing if there was only one number of them.
std::vector<Section> CrowdSections(const Model& model);
// Figures of scenarios; nothing without any.
std::vector<Section> FigureSections(const Model& model);
// Where and how it was measured.
std::vector<Section> SessionSections(const Model& model);
// How figures were computed.
Section MethodSection();

// "3 of 57"
std::string Of(int64_t part, int64_t whole);
// "1 run", "2 runs"
std::string Count(int64_t count, const std::string& what);
// "a, b and c"
std::string Join(const std::vector<std::string>& words);
// "1.10 s–1.60 s; 3 runs"
std::string NoteOf(const Spread& spread, Unit unit);

}  // namespace slacker::hellobench
