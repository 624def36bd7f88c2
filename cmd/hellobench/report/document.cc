#include "cmd/hellobench/report/document.h"

#include <algorithm>
#include <set>

#include "cmd/hellobench/report/sections.h"

namespace slacker::hellobench {
namespace {

std::string Subtitle(const Model& model) {
  std::set<std::string> images, systems;
  for (const Group& group : model.groups()) {
    images.insert(group.images.begin(), group.images.end());
    systems.insert(group.systems.begin(), group.systems.end());
  }
  std::string text = Count(model.runs(), "run") + " of " +
                     Count(static_cast<int64_t>(images.size()), "image") + " with " +
                     Join({systems.begin(), systems.end()});
  std::set<std::string> machines;
  std::string first, last;
  for (const SessionSpan& span : model.sessions()) {
    const Machine& machine = span.session.machine;
    machines.insert(machine.cpu + ", " + Count(machine.cpus, "core") + ", Linux " + machine.kernel);
    first = first.empty() ? span.first : std::min(first, span.first);
    last = std::max(last, span.last);
  }
  const std::string from = first.substr(0, 10), to = last.substr(0, 10);
  text += "; " + (from == to ? from : from + " to " + to);
  if (machines.size() == 1) return text + "; " + *machines.begin() + ".";
  return text + "; on " + Count(static_cast<int64_t>(machines.size()), "machine") +
         ", whose runs are put together.";
}

}  // namespace

Document MakeDocument(const std::vector<Result>& results) {
  const Model model(results);
  Document document{"HelloBench", Subtitle(model), {}};
  const auto add = [&document](std::vector<Section> sections) {
    for (Section& section : sections) document.sections.push_back(std::move(section));
  };
  add({SlowerSection(model), FailureSection(model), SummarySection(model)});
  int number = 0;
  for (const Group& group : model.groups()) add(GroupSections(model, group, ++number));
  add(CrowdSections(model));
  add(FigureSections(model));
  add(SlowerTableSections(model));
  add(SessionSections(model));
  add({MethodSection()});
  return document;
}

}  // namespace slacker::hellobench
