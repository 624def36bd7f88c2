#include "cmd/hellobench/report/render.h"

namespace slacker::hellobench {
namespace {

// Nothing in a text becomes markup, a new line or another cell.
std::string Harmless(std::string_view text) {
  std::string escaped;
  for (const char letter : text) {
    if (letter == '\n' || letter == '\r') {
      escaped += ' ';
      continue;
    }
    if (std::string_view("\\`*_{}[]<>#|&~").find(letter) != std::string_view::npos) escaped += '\\';
    escaped += letter;
  }
  return escaped;
}

std::string CellText(const TableCell& cell) {
  return Harmless(cell.text) + (cell.note.empty() ? "" : " (" + Harmless(cell.note) + ")");
}

struct MarkdownWriter {
  std::string text;

  void operator()(const Paragraph& paragraph) { text += Harmless(paragraph.text) + "\n\n"; }
  void operator()(const List& list) {
    for (const List::Item& item : list.items) {
      text += "- ";
      if (!item.lead.empty()) text += "**" + Harmless(item.lead) + "** ";
      text += Harmless(item.text) + "\n";
    }
    text += "\n";
  }
  // Indented by four: nothing in it can end it.
  void operator()(const Verbatim& verbatim) {
    text += "    ";
    for (const char letter : verbatim.text) {
      text += letter;
      if (letter == '\n') text += "    ";
    }
    text += "\n\n";
  }
  void operator()(const Table& table) {
    text += Harmless(table.caption) + ":\n\n|";
    for (const Column& column : table.columns) text += " " + Harmless(column.name) + " |";
    text += "\n|";
    for (const Column& column : table.columns) text += column.is_number ? "---:|" : "---|";
    text += "\n";
    for (const auto& row : table.rows) {
      text += "|";
      for (const TableCell& cell : row) text += " " + CellText(cell) + " |";
      text += "\n";
    }
    text += "\n";
  }
  void operator()(const Chart& chart) {
    text += "### " + Harmless(chart.title) + "\n\n" + Harmless(chart.text) + "\n\n";
    (*this)(chart.table);
  }
};

}  // namespace

std::string ToMarkdown(const Document& document) {
  MarkdownWriter writer;
  writer.text = "# " + Harmless(document.title) + "\n\n" + Harmless(document.subtitle) + "\n\n";
  for (const Section& section : document.sections) {
    if (section.only_in_page) continue;
    writer.text += "## " + Harmless(section.title) + "\n\n";
    for (const Block& block : section.blocks) std::visit(writer, block);
  }
  writer.text.pop_back();  // one end of line is enough
  return writer.text;
}

}  // namespace slacker::hellobench
