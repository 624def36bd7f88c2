#include "snapshotter/core/id_map.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "backend/base/status.h"

namespace slacker {
namespace {

absl::Status Malformed(std::string_view label, std::string_view map) {
  return InvalidArgument("label " + std::string(label) + ": " + std::string(map) +
                         " is no list of CONTAINER:HOST:COUNT that maps 0");
}

// The first word of *text, which ends at `end` or with the text; *text becomes what is behind it.
std::string_view TakeWord(std::string_view* text, char end) {
  const size_t at = text->find(end);
  const std::string_view word = text->substr(0, at);
  text->remove_prefix(at == text->npos ? text->size() : at + 1);
  return word;
}

std::optional<uint32_t> ParseId(std::string_view text) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

std::optional<IdRange> ParseRange(std::string_view text) {
  std::array<uint32_t, 3> ids{};
  for (uint32_t& id : ids) {
    const std::optional<uint32_t> parsed = ParseId(TakeWord(&text, ':'));
    if (!parsed.has_value()) return std::nullopt;
    id = *parsed;
  }
  const auto [container, host, count] = ids;
  const bool fits = count > 0 && count <= UINT32_MAX - container && count <= UINT32_MAX - host;
  return text.empty() && fits ? std::optional(IdRange{container, host, count}) : std::nullopt;
}

absl::StatusOr<std::vector<IdRange>> ParseRanges(std::string_view label, std::string_view map) {
  std::vector<IdRange> ranges;
  bool has_root = false;
  for (std::string_view rest = map; !rest.empty() || ranges.empty();) {
    const bool more = rest.find(',') != rest.npos;
    const std::optional<IdRange> range = ParseRange(TakeWord(&rest, ','));
    if (!range.has_value() || (more && rest.empty())) return Malformed(label, map);
    has_root = has_root || range->container == 0;
    ranges.push_back(*range);
  }
  if (!has_root) return Malformed(label, map);
  return ranges;
}

bool IsOther(const std::vector<IdRange>& ranges, uint32_t id) {
  const auto within = [id](uint32_t first, uint32_t count) {
    return id >= first && id - first < count;
  };
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const IdRange& range) { return within(range.host, range.count); }) &&
         std::none_of(ranges.begin(), ranges.end(),
                      [&](const IdRange& range) { return within(range.container, range.count); });
}

uint32_t RootOf(const std::vector<IdRange>& ranges) {
  return std::find_if(ranges.begin(), ranges.end(),
                      [](const IdRange& range) { return range.container == 0; })
      ->host;
}

}  // namespace

absl::StatusOr<std::optional<IdMap>> IdMapOf(const Labels& labels) {
  const auto uids = labels.find(std::string(kUidMappingLabel));
  const auto gids = labels.find(std::string(kGidMappingLabel));
  if ((uids == labels.end() && gids == labels.end()) || labels.contains(std::string(kRefLabel))) {
    return std::nullopt;
  }
  if (uids == labels.end() || gids == labels.end()) {
    return InvalidArgument("labels " + std::string(kUidMappingLabel) + " and " +
                           std::string(kGidMappingLabel) + " go together");
  }
  IdMap map;
  map.uids = uids->second;
  map.gids = gids->second;
  ASSIGN_OR_RETURN(map.uid_ranges, ParseRanges(kUidMappingLabel, map.uids));
  ASSIGN_OR_RETURN(map.gid_ranges, ParseRanges(kGidMappingLabel, map.gids));
  return map;
}

uint32_t IdMap::RootUid() const { return RootOf(uid_ranges); }
uint32_t IdMap::RootGid() const { return RootOf(gid_ranges); }

bool IdMap::IsApplied(uint32_t uid, uint32_t gid) const {
  return IsOther(uid_ranges, uid) && IsOther(gid_ranges, gid);
}

}  // namespace slacker
