#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>

#include "backend/base/digest.h"
#include "cmd/hellobench/report/render.h"

namespace slacker::hellobench {
namespace {

using Json = nlohmann::ordered_json;

std::string Escape(std::string_view text) {
  std::string escaped;
  for (const char letter : text) {
    switch (letter) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      case '\0':
        escaped += "\ufffd";
        break;  // which HTML has no way to write
      default:
        escaped += letter;
    }
  }
  return escaped;
}

// Inside a <script>, where nothing is escaped as HTML: no text may end or begin anything there.
std::string ScriptJson(const Json& json) {
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string safe;
  for (const char letter : text) {
    switch (letter) {
      case '<':
        safe += "\\u003c";
        break;
      case '>':
        safe += "\\u003e";
        break;
      case '&':
        safe += "\\u0026";
        break;
      default:
        safe += letter;
    }
  }
  return safe;
}

std::string Base64(std::span<const uint8_t> bytes) {
  static constexpr char kLetters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = std::min<size_t>(bytes.size() - i, 3);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (j < left ? bytes[i + j] : 0U);
    for (size_t j = 0; j < 4; ++j) {
      text += j <= left ? kLetters[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

std::string SourceHash(std::string_view script) {
  return "'sha256-" + Base64(Sha256::Of(script).bytes) + "'";
}

const char* NameOf(Unit unit) {
  switch (unit) {
    case Unit::kPlain:
      return "plain";
    case Unit::kCount:
      return "count";
    case Unit::kMilliseconds:
      return "ms";
    case Unit::kSeconds:
      return "s";
    case Unit::kBytes:
      return "bytes";
    case Unit::kTimes:
      return "times";
    case Unit::kPercent:
      return "percent";
  }
  return "";
}

const char* NameOf(ChartKind kind) {
  switch (kind) {
    case ChartKind::kBars:
      return "bars";
    case ChartKind::kStacked:
      return "stacked";
    case ChartKind::kSteps:
      return "steps";
    case ChartKind::kLines:
      return "lines";
    case ChartKind::kPoints:
      return "points";
  }
  return "";
}

Json ToJson(const Axis& axis) {
  return {{"title", axis.title}, {"unit", NameOf(axis.unit)}, {"logarithmic", axis.is_logarithmic}};
}

Json ToJson(const Chart& chart) {
  Json series = Json::array();
  for (const Series& one : chart.series) {
    Json values = Json::array();
    for (const std::optional<double>& value : one.values) {
      values.push_back(value.has_value() ? Json(*value) : Json(nullptr));
    }
    series.push_back({{"name", one.name},
                      {"values", std::move(values)},
                      {"points", one.points},
                      {"mark", one.is_mark}});
  }
  return {{"id", chart.table.id}, {"kind", NameOf(chart.kind)},
          {"title", chart.title}, {"x", ToJson(chart.x)},
          {"y", ToJson(chart.y)}, {"labels", chart.labels},
          {"series", series},     {"systems", chart.series_are_systems}};
}

// Writes blocks, and gathers the charts' data for the script.
class Writer {
 public:
  void operator()(const Paragraph& paragraph) {
    html_ += "<p>" + Escape(paragraph.text) + "</p>\n";
  }
  void operator()(const List& list) {
    html_ += "<ul>\n";
    for (const List::Item& item : list.items) {
      html_ += "<li>";
      if (!item.lead.empty()) html_ += "<strong>" + Escape(item.lead) + "</strong> ";
      html_ += Escape(item.text) + "</li>\n";
    }
    html_ += "</ul>\n";
  }
  void operator()(const Verbatim& verbatim) {
    html_ += "<pre tabindex=\"0\">" + Escape(verbatim.text) + "</pre>\n";
  }
  void operator()(const Table& table) {
    const std::string caption = Escape(table.caption);
    html_ += R"(<div class="scroll" role="region" tabindex="0" aria-label=")" + caption +
             "\">\n<table id=\"" + table.id + "\">\n<caption>" + caption +
             "</caption>\n<thead><tr>";
    for (const Column& column : table.columns) {
      html_ += "<th scope=\"col\"" + Class(column) + ">" + Escape(column.name) + "</th>";
    }
    html_ += "</tr></thead>\n<tbody>\n";
    for (const auto& row : table.rows) {
      html_ += "<tr>";
      for (size_t i = 0; i < row.size(); ++i) Write(row[i], table.columns[i], i == 0);
      html_ += "</tr>\n";
    }
    html_ += "</tbody>\n</table>\n</div>\n";
  }
  void operator()(const Chart& chart) {
    charts_.push_back(ToJson(chart));
    const std::string title = Escape(chart.title);
    html_ += "<figure>\n<figcaption><h3>" + title + "</h3><p>" + Escape(chart.text) +
             "</p></figcaption>\n<div class=\"plot\"><canvas role=\"img\" data-chart=\"" +
             std::to_string(charts_.size() - 1) + "\" aria-label=\"" + title +
             ": chart; its figures are in the table below\"></canvas></div>\n"
             "<details><summary>Figures of this chart</summary>\n";
    (*this)(chart.table);
    html_ += "</details>\n</figure>\n";
  }
  void Write(const Section& section) {
    html_ += "<section id=\"" + section.id + "\"" +
             (section.is_warning ? " class=\"warning\"" : "") + ">\n<h2>" + Escape(section.title) +
             "</h2>\n";
    bool in_charts = false;
    for (const Block& block : section.blocks) {
      const bool is_chart = std::holds_alternative<Chart>(block);
      if (is_chart != in_charts) html_ += is_chart ? "<div class=\"charts\">\n" : "</div>\n";
      in_charts = is_chart;
      std::visit(*this, block);
    }
    html_ += in_charts ? "</div>\n</section>\n" : "</section>\n";
  }

  const std::string& html() const { return html_; }
  const Json& charts() const { return charts_; }

 private:
  static std::string Class(const Column& column) {
    return column.is_number ? " class=\"number\"" : "";
  }
  void Write(const TableCell& cell, const Column& column, bool names_row) {
    html_ += names_row ? "<th scope=\"row\"" : "<td";
    html_ += Class(column);
    if (cell.value.has_value()) html_ += " data-value=\"" + Json(*cell.value).dump() + "\"";
    html_ += ">" + Escape(cell.text);
    if (!cell.note.empty()) html_ += " <small>" + Escape(cell.note) + "</small>";
    html_ += names_row ? "</th>" : "</td>";
  }

  std::string html_;
  Json charts_ = Json::array();
};

std::string Contents(const Document& document) {
  std::string html = "<nav aria-label=\"Contents\"><details><summary>Contents</summary><ul>\n";
  for (const Section& section : document.sections) {
    html += "<li><a href=\"#" + section.id + "\">" + Escape(section.title) + "</a></li>\n";
  }
  return html + "</ul></details></nav>\n";
}

}  // namespace

std::string ToPage(const Document& document, const PageAssets& assets) {
  Writer writer;
  for (const Section& section : document.sections) writer.Write(section);
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
         "'unsafe-inline'; script-src " +
         SourceHash(assets.charts) + " " + SourceHash(assets.script) +
         "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta name=\"color-scheme\" content=\"light dark\">\n<title>" +
         Escape(document.title) + "</title>\n<style>\n" + assets.style +
         "</style>\n</head>\n<body>\n<header>\n<h1>" + Escape(document.title) + "</h1>\n<p>" +
         Escape(document.subtitle) + "</p>\n</header>\n" + Contents(document) + "<main>\n" +
         writer.html() +
         "</main>\n<footer>\n<p>Made by hellobench " SLACKER_VERSION
         " from its results alone. Charts are drawn by Chart.js.</p>\n"
         "<details><summary>Licence of Chart.js</summary><pre tabindex=\"0\">" +
         Escape(assets.licence) +
         "</pre></details>\n</footer>\n<script type=\"application/json\" id=\"charts\">" +
         ScriptJson(writer.charts()) + "</script>\n<script>" + assets.charts +
         "</script>\n<script>" + assets.script + "</script>\n</body>\n</html>\n";
}

}  // namespace slacker::hellobench
