// A report before it is a page or a text: sections of words, lists, tables and charts. Both are made of
// the same, so that they say the same.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cmd/hellobench/report/units.h"

namespace slacker::hellobench {

// Whatever text, as it stands in results: who writes a document out makes it harmless.
struct Paragraph {
  std::string text;
};
struct List {
  struct Item {
    std::string lead;  // what the item is about; may be empty
    std::string text;
  };
  std::vector<Item> items;
};
// Words of a command line, a licence: spaces and ends of lines count.
struct Verbatim {
  std::string text;
};

struct TableCell {
  std::string text;
  std::string note;             // less important, after the text
  std::optional<double> value;  // what `text` says, with all digits
};
struct Column {
  std::string name;
  bool is_number = true;
};
struct Table {
  std::string id;  // unique in the document; letters, digits, dashes
  std::string caption;
  std::vector<Column> columns;
  std::vector<std::vector<TableCell>> rows;  // each as long as `columns`; the first names the row
};

struct Axis {
  std::string title;
  Unit unit = Unit::kPlain;
  bool is_logarithmic = false;
};
struct Series {
  std::string name;
  std::vector<std::optional<double>> values;      // one for each label
  std::vector<std::pair<double, double>> points;  // or points, in order
  bool is_mark = false;                           // beside what was measured: the paper's points
};
enum class ChartKind { kBars, kStacked, kSteps, kLines, kPoints };
struct Chart {
  ChartKind kind = ChartKind::kBars;
  std::string title;
  std::string text;  // what it shows, and how it was computed
  Axis x;            // of bars: of their names
  Axis y;            // of bars: of their lengths
  std::vector<std::string> labels;
  std::vector<Series> series;
  bool series_are_systems = true;  // which look the same in all charts
  Table table;                     // the same figures, for who cannot see the chart
};

using Block = std::variant<Paragraph, List, Verbatim, Table, Chart>;

struct Section {
  std::string id;
  std::string title;
  std::vector<Block> blocks;
  bool is_warning = false;    // what readers must not miss
  bool only_in_page = false;  // not worth a text
};

struct Document {
  std::string title;
  std::string subtitle;
  std::vector<Section> sections;
};

// Cells.
inline TableCell Text(std::string text, std::string note = "") {
  return {std::move(text), std::move(note), std::nullopt};
}
inline TableCell Number(double value, Unit unit, std::string note = "") {
  return {Format(value, unit), std::move(note), value};
}
inline TableCell Nothing(std::string note = "") { return {"–", std::move(note), std::nullopt}; }
inline TableCell Number(std::optional<double> value, Unit unit, std::string note = "") {
  return value.has_value() ? Number(*value, unit, std::move(note)) : Nothing(std::move(note));
}

}  // namespace slacker::hellobench
