#include <zlib.h>

#include <algorithm>
#include <array>
#include <utility>

#include "backend/base/check.h"
#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/export/compressor.h"

namespace slacker {
namespace {

constexpr int kRawDeflate = -15;  // the largest window, without zlib's own header
constexpr int kDefaultMemory = 8;

class DeflateCompressor final : public Compressor {
 public:
  DeflateCompressor(std::string header, int level, DeflateStyle style)
      : header_(std::move(header)), style_(style) {
    const int code =
        deflateInit2(&deflate_, level, Z_DEFLATED, kRawDeflate, kDefaultMemory, Z_DEFAULT_STRATEGY);
    SLACKER_CHECK(code == Z_OK, "zlib has memory");
  }
  DeflateCompressor(const DeflateCompressor&) = delete;
  DeflateCompressor& operator=(const DeflateCompressor&) = delete;
  ~DeflateCompressor() override { (void)deflateEnd(&deflate_); }  // only frees

  absl::Status Append(std::string_view bytes, const Sink& sink) override {
    while (!bytes.empty()) {
      // Whether a piece is pigz' last one is known when there is another byte.
      if (style_ == DeflateStyle::kPigz && piece_bytes_ == kBlockBytes) {
        RETURN_IF_ERROR(EndPiece(sink));
      }
      const std::string_view now = bytes.substr(0, kBlockBytes - piece_bytes_);
      crc_ = crc32(crc_, reinterpret_cast<const Bytef*>(now.data()), static_cast<uInt>(now.size()));
      size_ += static_cast<uint32_t>(now.size());
      RETURN_IF_ERROR(Deflate(now, Z_NO_FLUSH, sink));
      if (style_ == DeflateStyle::kPigz) piece_bytes_ += now.size();
      bytes.remove_prefix(now.size());
    }
    return absl::OkStatus();
  }

  absl::Status Finish(const Sink& sink) override {
    RETURN_IF_ERROR(Deflate({}, Z_FINISH, sink));
    std::string trailer;
    Encoder out(&trailer);
    out.U32(static_cast<uint32_t>(crc_));
    out.U32(size_);
    return sink(trailer);
  }

  absl::Status Settle(const Sink& /*sink*/) override { return absl::OkStatus(); }  // all is out

 private:
  absl::Status Deflate(std::string_view bytes, int flush, const Sink& sink) {
    if (!std::exchange(began_, true)) RETURN_IF_ERROR(sink(header_));
    std::array<char, 64 << 10> out;
    // zlib does not write through it.
    deflate_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    deflate_.avail_in = static_cast<uInt>(bytes.size());
    do {
      deflate_.next_out = reinterpret_cast<Bytef*>(out.data());
      deflate_.avail_out = out.size();
      if (deflate(&deflate_, flush) == Z_STREAM_ERROR) return Internal("zlib: stream error");
      const size_t made = out.size() - deflate_.avail_out;
      if (made > 0) RETURN_IF_ERROR(sink({out.data(), made}));
    } while (deflate_.avail_out == 0);
    return absl::OkStatus();
  }

  // As pigz 2.4 and later do with zlib 1.2.6 and later: empty static blocks of ten bits up to the next
  // byte, or an empty stored one where these cannot get there.
  absl::Status EndPiece(const Sink& sink) {
    piece_bytes_ = 0;
    RETURN_IF_ERROR(Deflate({}, Z_BLOCK, sink));
    int bits = 0;
    (void)deflatePending(&deflate_, Z_NULL, &bits);
    if ((bits & 1) != 0) return Deflate({}, Z_SYNC_FLUSH, sink);
    if (bits == 0) return absl::OkStatus();
    constexpr int kEmptyBlockBits = 10, kEmptyBlock = 2;
    do {
      if (deflatePrime(&deflate_, kEmptyBlockBits, kEmptyBlock) != Z_OK) {
        return Internal("zlib: no room for a block");
      }
      (void)deflatePending(&deflate_, Z_NULL, &bits);
    } while ((bits & 7) != 0);
    return Deflate({}, Z_NO_FLUSH, sink);
  }

  const std::string header_;
  const DeflateStyle style_;
  z_stream deflate_ = {};
  bool began_ = false;
  size_t piece_bytes_ = 0;  // of pigz' present piece
  uLong crc_ = crc32(0, nullptr, 0);
  uint32_t size_ = 0;  // modulo 2^32, as the format has it
};

}  // namespace

std::unique_ptr<Compressor> OpenDeflate(const std::string& header, int level, DeflateStyle style) {
  return std::make_unique<DeflateCompressor>(header, level, style);
}

}  // namespace slacker
