// containerd's filter language (its package filters, the same from 1.4 to 2.4), for List.
//
//   filter    := selector ("," selector)*              all must match
//   selector  := fieldpath [operator value]            without an operator: the field is present
//   fieldpath := field ("." field)*
//   field     := quoted | [A-Za-z0-9_]+
//   operator  := "==" | "!=" | "~="
//   value     := quoted | a run of graphic characters without "," and blanks
//   quoted    := a Go string in "…"; as the value of ~= also /…/ or |…|
//
// Fields: name, parent, kind ("active", "view", "committed"), labels.<key> (the further fields
// joined by dots are the key). Other fields are absent. "==" needs the field to be present; "!="
// compares with "" where it is absent; "~=" is an RE2 expression, unanchored, on "" where it is
// absent. Blanks may stand before a field, an operator or a value.
//
// An expression that does not compile matches nothing in containerd; here it is INVALID_ARGUMENT,
// as every other mistake is, with the byte position in the message.
//
// Input comes from clients: its size is limited, and so is the memory of an expression.
// Immutable once made: thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "snapshotter/metastore/snapshot_table.h"
#include "snapshotter/snapshotter.h"

namespace re2 {
class RE2;
}

namespace slacker {

inline constexpr size_t kMaxFilterBytes = 16 * 1024;  // of one filter
inline constexpr size_t kMaxFilters = 64;             // in one List
inline constexpr size_t kMaxSelectors = 64;           // in one filter

enum class FilterOperator { kPresent, kEqual, kNotEqual, kMatches };

struct Selector {
  std::vector<std::string> fieldpath;
  FilterOperator op = FilterOperator::kPresent;
  std::string value;
  std::shared_ptr<const re2::RE2> expression;  // kMatches; shared by copies of the selector
};

// Several filters, any of which may match.
class FilterSet {
 public:
  // INVALID_ARGUMENT for a malformed filter, and over the limits above. No filter, or one that is
  // "", matches everything.
  static absl::StatusOr<FilterSet> Parse(const std::vector<std::string>& filters);

  bool Matches(const SnapshotInfo& info) const;

  // For each filter, the conditions that the database has an index for.
  std::vector<Candidates> CandidateSets() const;

 private:
  std::vector<std::vector<Selector>> filters_;  // an empty inner list matches everything
};

}  // namespace slacker
