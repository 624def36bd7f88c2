#include "backend/source/gzip_header.h"

#include "backend/base/status.h"

namespace slacker {
namespace {

constexpr size_t kFixedBytes = 10;
constexpr unsigned char kDeflate = 8;
// Bits of the flags.
constexpr unsigned kChecksumFlag = 2, kExtraFlag = 4, kNameFlag = 8, kCommentFlag = 16;
constexpr unsigned kReservedFlags = 0xe0;

}  // namespace

bool GzipHeader::Has(Part part) const {
  const auto flags = static_cast<unsigned char>(fixed_[3]);
  switch (part) {
    case Part::kExtraLength:
      return (flags & kExtraFlag) != 0;
    case Part::kExtra:
      return extra_bytes_ > 0;
    case Part::kName:
      return (flags & kNameFlag) != 0;
    case Part::kComment:
      return (flags & kCommentFlag) != 0;
    case Part::kChecksum:
      return (flags & kChecksumFlag) != 0;
    default:
      return true;
  }
}

absl::StatusOr<bool> GzipHeader::TakeByte(unsigned char byte) {
  ++taken_;
  switch (part_) {
    case Part::kFixed:
      fixed_ += static_cast<char>(byte);
      if (taken_ < kFixedBytes) return false;
      if (!fixed_.starts_with("\x1f\x8b")) {
        return InvalidArgument("damaged gzip stream: invalid header");
      }
      if (fixed_[2] != kDeflate || (static_cast<unsigned char>(fixed_[3]) & kReservedFlags) != 0) {
        return InvalidArgument("damaged gzip stream: unknown method");
      }
      return true;
    case Part::kExtraLength:
      extra_bytes_ |= size_t{byte} << (8 * (taken_ - 1));
      return taken_ == 2;
    case Part::kExtra:
      return taken_ == extra_bytes_;
    case Part::kName:
    case Part::kComment:
      return byte == 0;
    default:
      return taken_ == 2;  // the checksum: of no use, the layer has a digest
  }
}

absl::StatusOr<bool> GzipHeader::Take(std::string_view* in) {
  while (part_ != Part::kEnd && !in->empty()) {
    ASSIGN_OR_RETURN(const bool ended, TakeByte(static_cast<unsigned char>(in->front())));
    in->remove_prefix(1);
    if (!ended) continue;
    taken_ = 0;
    do {
      part_ = static_cast<Part>(static_cast<int>(part_) + 1);
    } while (!Has(part_));
  }
  return part_ == Part::kEnd;
}

}  // namespace slacker
