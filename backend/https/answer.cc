#include "backend/https/answer.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>

#include "backend/base/status.h"

namespace slacker::https {
namespace {

constexpr size_t kMaxHeadBytes = 64 << 10;
constexpr uint64_t kMaxSkippedBytes = 64 << 20;
constexpr uint64_t kMaxErrorPageBytes = 64 << 10;  // read to its end: the connection stays usable

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) {
    text.remove_prefix(1);
  }
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
    text.remove_suffix(1);
  }
  return text;
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

}  // namespace

absl::StatusOr<ContentRange> ParseContentRange(std::string_view value) {
  const absl::Status bad =
      InvalidArgument("Content-Range \"" + std::string(value.substr(0, 100)) + "\"");
  constexpr std::string_view kUnit = "bytes ";
  const size_t slash = value.find('/');
  if (!value.starts_with(kUnit) || slash == std::string_view::npos) return bad;
  const std::string_view range = value.substr(kUnit.size(), slash - kUnit.size());
  const std::string_view total = value.substr(slash + 1);
  ContentRange parsed;
  if (total != "*") {
    parsed.total = ParseNumber(total);
    if (!parsed.total.has_value()) return bad;
  }
  if (range == "*") return parsed.total.has_value() ? absl::StatusOr<ContentRange>(parsed) : bad;
  const size_t dash = range.find('-');
  if (dash == std::string_view::npos) return bad;
  const auto first = ParseNumber(range.substr(0, dash));
  const auto last = ParseNumber(range.substr(dash + 1));
  if (!first || !last || *last < *first || *last == UINT64_MAX) return bad;
  if (parsed.total && *last >= *parsed.total) return bad;
  parsed.first = *first;
  parsed.length = *last - *first + 1;
  return parsed;
}

bool Answer::OnHeader(std::string_view line) {
  if (begun_) return true;          // trailers
  if (line.starts_with("HTTP/")) {  // also after "100 Continue" and the like
    const size_t space = line.find(' ');
    const auto code =
        space == std::string_view::npos ? std::nullopt : ParseNumber(line.substr(space + 1, 3));
    status_ = static_cast<int>(code.value_or(0));
    content_length_.reset();
    content_range_.clear();
    encoded_ = false;
    modified_ = 0;
    head_bytes_ = 0;
  }
  head_bytes_ += line.size();
  if (head_bytes_ > kMaxHeadBytes) return false;
  if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    OnField(LowerCase(Trim(line.substr(0, colon))), Trim(line.substr(colon + 1)));
  }
  return true;
}

void Answer::OnField(std::string_view name, std::string_view value) {
  if (name == "content-length") {
    content_length_ = ParseNumber(value);
  } else if (name == "content-range") {
    content_range_ = value;
  } else if (name == "content-encoding") {
    encoded_ = LowerCase(value) != "identity";
  } else if (name == "last-modified") {
    modified_ = std::max<int64_t>(curl_getdate(std::string(value).c_str(), nullptr), 0);
  }
}

void Answer::Begin() {
  begun_ = true;
  if (status_ != 200 && status_ != 206) {
    unwanted_ = true;
    error_ = CodeError();
  } else if (encoded_) {
    error_ = Internal("the server encodes what it sends although it was told not to");
  } else if (status_ == 206) {
    BeginPart();
  } else {
    BeginWhole();
  }
  unwanted_ = unwanted_ || !error_.ok();
}

void Answer::BeginPart() {
  const auto range = ParseContentRange(content_range_);
  if (!range.ok()) {
    error_ = Internal("206 with a bad range: " + Message(range.status()));
    return;
  }
  const bool ends_there = range->total.has_value() && range->first + range->length == *range->total;
  if (range->first != offset_ || range->length == 0 || range->length > size_ ||
      (range->length < size_ && !ends_there) ||
      (content_length_.has_value() && *content_length_ != range->length)) {
    error_ = Internal("206 with \"" + content_range_.substr(0, 100) + "\" for " +
                      std::to_string(size_) + " bytes at " + std::to_string(offset_));
    return;
  }
  expect_ = range->length;
}

void Answer::BeginWhole() {
  if (content_length_.has_value()) {
    expect_ = *content_length_ > offset_ ? std::min(size_, *content_length_ - offset_) : 0;
  } else {
    expect_ = size_;
  }
  skip_ = offset_;
  if (expect_ > 0 && skip_ > kMaxSkippedBytes) {
    error_ = Internal("the server does not serve ranges");
  }
}

bool Answer::OnBody(std::string_view data) {
  if (!begun_) Begin();
  if (unwanted_) {
    ignored_ += data.size();
    complete_ = ignored_ > kMaxErrorPageBytes;
    return !complete_;
  }
  const uint64_t skipped = std::min<uint64_t>(skip_, data.size());
  skip_ -= skipped;
  data.remove_prefix(skipped);
  const uint64_t wanted = std::min<uint64_t>(expect_ - bytes_.size(), data.size());
  bytes_.append(data.substr(0, wanted));
  if (status_ == 206 && wanted < data.size()) {
    error_ = Internal("206 with more bytes than its range has");
    complete_ = true;
    return false;
  }
  // The rest of a whole object is not wanted, unless this was its end.
  const bool more = !content_length_.has_value() || *content_length_ > offset_ + bytes_.size();
  complete_ = status_ == 200 && bytes_.size() == expect_ && (skip_ == 0 || expect_ == 0) && more;
  return !complete_;
}

absl::StatusOr<std::string> Answer::TakeBytes() {
  if (!begun_) Begin();
  RETURN_IF_ERROR(error_);
  if (status_ == 416) return std::string();
  if (bytes_.size() < expect_) {
    if (status_ == 200 && !content_length_.has_value()) {
      return Internal("200 without a length");
    }
    return Unavailable("the answer is cut short");
  }
  return std::move(bytes_);
}

absl::StatusOr<ObjectInfo> Answer::Info() const {
  if (status_ == 416) return Internal("the server answers 416 to HEAD, which asks for no range");
  if (status_ != 200) return CodeError();
  if (!content_length_.has_value()) return Internal("the answer to HEAD has no length");
  return ObjectInfo{*content_length_, modified_};
}

absl::Status Answer::CodeError() const {
  const std::string message = "the server answers " + std::to_string(status_);
  switch (status_) {
    case 404:
    case 410:
      return NotFound(message);
    case 400:
    case 401:
    case 403:
    case 407:
      return PermissionDenied(message);
    case 408:
    case 425:
    case 429:
      return Unavailable(message);
    case 416: {
      const auto range = ParseContentRange(content_range_);
      const bool beyond =
          content_range_.empty() || (range.ok() && range->total.has_value() && range->length == 0 &&
                                     *range->total <= offset_);
      return beyond ? absl::OkStatus()
                    : Internal(message + " with \"" + content_range_.substr(0, 100) +
                               "\" for offset " + std::to_string(offset_));
    }
    default:
      return status_ >= 500 && status_ < 600 ? Unavailable(message) : Internal(message);
  }
}

}  // namespace slacker::https
