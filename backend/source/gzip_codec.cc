#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <string>

#include "backend/base/status.h"
#include "backend/source/codec.h"
#include "backend/source/gzip_header.h"

namespace slacker {
namespace {

class GzipCodec final : public Codec {
 public:
  GzipCodec() { Reset(); }

  absl::StatusOr<size_t> Step(std::string_view* in, char* out, size_t out_size) override {
    if (AtBoundary()) {
      if (in->empty()) return size_t{0};
      Reset();
    }
    ASSIGN_OR_RETURN(const bool in_body, header_.Take(in));
    if (!in_body) return size_t{0};
    const size_t offered = std::min<size_t>(in->size(), 1U << 30);
    state_->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(in->data()));
    state_->avail_in = static_cast<uint32_t>(offered);
    state_->next_out = reinterpret_cast<uint8_t*>(out);
    state_->avail_out = static_cast<uint32_t>(out_size);
    const int result = isal_inflate(state_.get());
    if (result != ISAL_DECOMP_OK) return InvalidArgument("damaged gzip stream: " + Reason(result));
    in->remove_prefix(offered - state_->avail_in);
    return out_size - state_->avail_out;
  }

  // Checksum and length of the member have been compared then.
  bool AtBoundary() const override { return state_->block_state == ISAL_BLOCK_FINISH; }

 private:
  void Reset() {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP_NO_HDR_VER;
    header_ = GzipHeader();
  }

  static std::string Reason(int result) {
    switch (result) {
      case ISAL_INVALID_BLOCK:
        return "invalid block";
      case ISAL_INVALID_SYMBOL:
        return "invalid symbol";
      case ISAL_INVALID_LOOKBACK:
        return "invalid distance";
      case ISAL_INCORRECT_CHECKSUM:
        return "wrong checksum";
      default:
        return "error " + std::to_string(result);
    }
  }

  GzipHeader header_;  // of the present member
  const std::unique_ptr<inflate_state> state_ = std::make_unique<inflate_state>();
};

}  // namespace

std::unique_ptr<Codec> OpenGzipCodec() { return std::make_unique<GzipCodec>(); }

}  // namespace slacker
