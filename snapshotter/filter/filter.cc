#include "snapshotter/filter/filter.h"

#include <re2/re2.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "backend/base/status.h"
#include "snapshotter/filter/scanner.h"

namespace slacker {
namespace {

constexpr int64_t kMaxExpressionMemory = 1 << 20;
constexpr int kNoCharacter = 0;

class Parser {
 public:
  explicit Parser(std::string_view input) : scanner_(input) {}

  absl::StatusOr<std::vector<Selector>> Parse() {
    std::vector<Selector> selectors;
    while (true) {
      if (selectors.size() == kMaxSelectors)
        return Error(scanner_.position(), "too many selectors");
      ASSIGN_OR_RETURN(Selector selector, ParseSelector());
      selectors.push_back(std::move(selector));
      const int next = scanner_.PeekCharacter();
      if (next == kNoCharacter) return selectors;
      if (next != ',') return Error(scanner_.position(), "a \",\" or the end should stand here");
      (void)scanner_.Next();  // the comma that was seen
    }
  }

 private:
  static absl::Status Error(size_t position, std::string_view what) {
    return InvalidArgument("filter, byte " + std::to_string(position) + ": " + std::string(what));
  }
  absl::Status Unexpected(const Token& token, std::string_view expected) const {
    if (token.kind == TokenKind::kIllegal) return Error(token.position, scanner_.error());
    return Error(token.position, expected);
  }

  absl::StatusOr<Selector> ParseSelector() {
    Selector selector;
    RETURN_IF_ERROR(ParseFieldpath(&selector.fieldpath));
    const int next = scanner_.PeekCharacter();
    if (next == ',' || next == kNoCharacter) return selector;
    ASSIGN_OR_RETURN(selector.op, ParseOperator());
    ASSIGN_OR_RETURN(selector.value, ParseValue(selector.op));
    if (selector.op == FilterOperator::kMatches) RETURN_IF_ERROR(Compile(&selector));
    return selector;
  }

  absl::Status ParseFieldpath(std::vector<std::string>* fieldpath) {
    while (true) {
      const Token token = scanner_.Next();
      if (token.kind == TokenKind::kField) {
        fieldpath->emplace_back(token.text);
      } else if (token.kind == TokenKind::kQuoted && token.text.front() == '"') {
        ASSIGN_OR_RETURN(std::string field, Unquote(token));
        fieldpath->push_back(std::move(field));
      } else {
        return Unexpected(token, "a field should stand here");
      }
      if (scanner_.PeekCharacter() != '.') return absl::OkStatus();
      (void)scanner_.Next();  // the dot that was seen
    }
  }

  absl::StatusOr<FilterOperator> ParseOperator() {
    const Token token = scanner_.Next();
    if (token.kind == TokenKind::kOperator) {
      if (token.text == "==") return FilterOperator::kEqual;
      if (token.text == "!=") return FilterOperator::kNotEqual;
      if (token.text == "~=") return FilterOperator::kMatches;
    }
    return Unexpected(token, "an operator (==, != or ~=) should stand here");
  }

  absl::StatusOr<std::string> ParseValue(FilterOperator op) {
    const Token token = scanner_.Next();
    if (token.kind == TokenKind::kValue) return std::string(token.text);
    if (token.kind == TokenKind::kQuoted &&
        (token.text.front() == '"' || op == FilterOperator::kMatches)) {
      return Unquote(token);
    }
    return Unexpected(token, "a value should stand here");
  }

  static absl::StatusOr<std::string> Unquote(const Token& token) {
    auto text = UnquoteFilterToken(token.text);
    if (!text.ok()) return Error(token.position, Message(text.status()));
    return text;
  }

  absl::Status Compile(Selector* selector) const {
    RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(kMaxExpressionMemory);
    auto expression = std::make_shared<RE2>(selector->value, options);
    if (!expression->ok()) return Error(scanner_.position(), expression->error());
    selector->expression = std::move(expression);
    return absl::OkStatus();
  }

  FilterScanner scanner_;
};

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kView:
      return "view";
    case Kind::kActive:
      return "active";
    case Kind::kCommitted:
      return "committed";
  }
  return "";
}

std::string LabelKey(const Selector& selector) {
  std::string key;
  for (size_t i = 1; i < selector.fieldpath.size(); ++i) {
    if (i > 1) key += '.';
    key += selector.fieldpath[i];
  }
  return key;
}

std::optional<std::string_view> FieldOf(const Selector& selector, const SnapshotInfo& info) {
  const std::string& field = selector.fieldpath.front();
  if (field == "name") return info.name;
  if (field == "parent") return info.parent;
  if (field == "kind") return KindName(info.kind);
  if (field != "labels") return std::nullopt;
  const auto label = info.labels.find(LabelKey(selector));
  if (label == info.labels.end()) return std::nullopt;
  return label->second;
}

bool SelectorMatches(const Selector& selector, const SnapshotInfo& info) {
  const std::optional<std::string_view> field = FieldOf(selector, info);
  const std::string_view value = field.value_or("");
  switch (selector.op) {
    case FilterOperator::kPresent:
      return field.has_value();
    case FilterOperator::kEqual:
      return field.has_value() && value == selector.value;
    case FilterOperator::kNotEqual:
      return value != selector.value;
    case FilterOperator::kMatches:
      return RE2::PartialMatch(re2::StringPiece(value.data(), value.size()), *selector.expression);
  }
  return false;
}

void Narrow(const Selector& selector, Candidates* candidates) {
  if (selector.op != FilterOperator::kEqual) return;
  const std::string& field = selector.fieldpath.front();
  if (field == "name") {
    candidates->name = selector.value;
  } else if (field == "parent") {
    candidates->parent = selector.value;
  } else if (field == "labels" && LabelKey(selector) == kRefLabel) {
    candidates->ref = selector.value;
  }
}

}  // namespace

absl::StatusOr<FilterSet> FilterSet::Parse(const std::vector<std::string>& filters) {
  if (filters.size() > kMaxFilters) {
    return InvalidArgument("more than " + std::to_string(kMaxFilters) + " filters");
  }
  FilterSet set;
  for (const std::string& text : filters) {
    if (text.size() > kMaxFilterBytes) {
      return InvalidArgument("a filter is longer than " + std::to_string(kMaxFilterBytes) +
                             " bytes");
    }
    if (text.empty()) {
      set.filters_.emplace_back();
      continue;
    }
    ASSIGN_OR_RETURN(std::vector<Selector> selectors, Parser(text).Parse());
    set.filters_.push_back(std::move(selectors));
  }
  if (filters.empty()) set.filters_.emplace_back();
  return set;
}

bool FilterSet::Matches(const SnapshotInfo& info) const {
  return std::any_of(filters_.begin(), filters_.end(), [&info](const auto& selectors) {
    return std::all_of(selectors.begin(), selectors.end(), [&info](const Selector& selector) {
      return SelectorMatches(selector, info);
    });
  });
}

std::vector<Candidates> FilterSet::CandidateSets() const {
  std::vector<Candidates> sets;
  for (const auto& selectors : filters_) {
    Candidates candidates;
    for (const Selector& selector : selectors) Narrow(selector, &candidates);
    sets.push_back(std::move(candidates));
  }
  return sets;
}

}  // namespace slacker
