// A document as a page and as a text.
#pragma once

#include <string>

#include "cmd/hellobench/report/document.h"

namespace slacker::hellobench {

// What pages are made with, as it is installed beside the program.
struct PageAssets {
  std::string style;    // CSS
  std::string charts;   // the library that draws
  std::string licence;  // its
  std::string script;   // ours, which asks it to
};

// One HTML page that asks the network for nothing and lets nothing else in it run than the scripts of
// `assets`: the page's policy says so to the browser. Text of the document is escaped, whatever it is.
std::string ToPage(const Document& document, const PageAssets& assets);

// Markdown (CommonMark with tables); of a chart its table. Text of the document is escaped.
std::string ToMarkdown(const Document& document);

}  // namespace slacker::hellobench
