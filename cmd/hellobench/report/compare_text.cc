#include <algorithm>
#include <nlohmann/json.hpp>

#include "cmd/hellobench/report/compare.h"
#include "cmd/hellobench/report/units.h"

namespace slacker::hellobench {
namespace {

using Json = nlohmann::ordered_json;

// As it is shown: one column for each letter, also for those of several bytes.
size_t Width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char letter) {
    return (static_cast<unsigned char>(letter) & 0xC0) != 0x80;
  }));
}

// Lines whose columns stand below each other.
std::string Columns(const std::vector<std::vector<std::string>>& lines) {
  std::vector<size_t> widths;
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], Width(line[i]));
  }
  std::string text;
  for (const auto& line : lines) {
    text += " ";
    for (size_t i = 0; i < line.size(); ++i) {
      text += " " + line[i];
      if (i + 1 < line.size()) text += std::string(widths[i] - Width(line[i]) + 1, ' ');
    }
    text += "\n";
  }
  return text;
}

// What comes from results stays on its line and moves no cursor.
std::string Plain(std::string text) {
  for (char& letter : text) {
    if (static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f) letter = ' ';
  }
  return text;
}

std::string InTimes(double value) { return Format(value, Unit::kTimes); }

std::string RunCounts(const Spread& before, const Spread& after) {
  return std::to_string(before.count) + " and " + std::to_string(after.count) + " runs";
}

std::vector<std::string> Line(const std::string& name, const Ratio& ratio,
                              const std::string& before, const std::string& after,
                              const std::string& runs) {
  return {Plain(name),
          before,
          after,
          InTimes(ratio.value),
          "(" + InTimes(ratio.low) + "–" + InTimes(ratio.high) + ")",
          Verdict(ratio),
          runs};
}

Json ToJson(const Ratio& ratio) {
  return {{"ratio", ratio.value},
          {"low", ratio.low},
          {"high", ratio.high},
          {"verdict", Verdict(ratio)}};
}

Json ToJson(const Spread& spread) {
  return {{"least_ms", spread.least},
          {"median_ms", spread.median},
          {"greatest_ms", spread.greatest},
          {"runs", spread.count}};
}

}  // namespace

std::string ToText(const Comparison& comparison) {
  std::string text = "Medians of A and B, B / A (95 % interval): below 1× is faster.\n" +
                     comparison.failures + ".\n";
  if (!comparison.same_machine) text += "They come from different machines.\n";
  for (const ComparedSystem& system : comparison.systems) {
    text += "\n" + Plain(system.system + ", " + system.time + ", " + system.conditions) + "\n";
    std::vector<std::vector<std::string>> lines = {
        Line("all " + std::to_string(system.images.size()), system.all, "", "", "geometric mean")};
    for (const Compared& image : system.images) {
      lines.push_back(Line(
          image.image, image.ratio, Format(image.before.median, Unit::kMilliseconds),
          Format(image.after.median, Unit::kMilliseconds), RunCounts(image.before, image.after)));
    }
    text += Columns(lines);
  }
  if (!comparison.not_compared.empty()) text += "\nNot compared\n";
  std::vector<std::vector<std::string>> lines;
  for (const NotCompared& setup : comparison.not_compared) {
    lines.push_back(
        {Plain(setup.system), Plain(setup.image), Plain(setup.conditions), Plain(setup.why)});
  }
  return text + Columns(lines);
}

std::string ToJson(const Comparison& comparison) {
  Json systems = Json::array(), not_compared = Json::array();
  for (const ComparedSystem& system : comparison.systems) {
    Json images = Json::array();
    for (const Compared& image : system.images) {
      Json one = {{"image", image.image}};
      one.update(ToJson(image.ratio));
      one["before"] = ToJson(image.before);
      one["after"] = ToJson(image.after);
      images.push_back(std::move(one));
    }
    systems.push_back({{"system", system.system},
                       {"conditions", system.conditions},
                       {"time", system.time},
                       {"all", ToJson(system.all)},
                       {"images", std::move(images)}});
  }
  for (const NotCompared& setup : comparison.not_compared) {
    not_compared.push_back({{"system", setup.system},
                            {"conditions", setup.conditions},
                            {"image", setup.image},
                            {"why", setup.why}});
  }
  const Json json = {{"same_machine", comparison.same_machine},
                     {"failures", comparison.failures},
                     {"systems", std::move(systems)},
                     {"not_compared", std::move(not_compared)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace slacker::hellobench
