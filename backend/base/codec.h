// Little-endian encoding and bounds-checked decoding of the formats of docs/formats.md.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "backend/base/digest.h"

namespace slacker {

// Appends to a byte string. Thread-compatible.
class Encoder {
 public:
  explicit Encoder(std::string* out) : out_(out) {}
  void U8(uint8_t v) { out_->push_back(static_cast<char>(v)); }
  void U16(uint16_t v) { Little(v, 2); }
  void U32(uint32_t v) { Little(v, 4); }
  void U64(uint64_t v) { Little(v, 8); }
  void I64(int64_t v) { Little(static_cast<uint64_t>(v), 8); }
  // LEB128, at most ten bytes.
  void Varint(uint64_t v) {
    for (; v >= 0x80; v >>= 7) U8(static_cast<uint8_t>(v | 0x80));
    U8(static_cast<uint8_t>(v));
  }
  void Raw(std::string_view bytes) { out_->append(bytes); }
  // Varint length, then the bytes.
  void Bytes(std::string_view bytes) {
    Varint(bytes.size());
    Raw(bytes);
  }
  void Hash(const Digest& digest) {
    Raw({reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()});
  }

 private:
  void Little(uint64_t v, int bytes) {
    for (int i = 0; i < bytes; ++i) U8(static_cast<uint8_t>(v >> (8 * i)));
  }
  std::string* out_;
};

// Reads from bytes that nobody vouches for. A read past the end, or a malformed varint, makes the
// decoder fail: it yields zeros from then on and ok() is false; check it before values are used to
// allocate or index. Nothing is copied: the views that Bytes and Raw return point into the input.
// Thread-compatible.
class Decoder {
 public:
  explicit Decoder(std::string_view in) : in_(in) {}
  bool ok() const { return ok_; }
  bool done() const { return ok_ && in_.empty(); }
  size_t remaining() const { return in_.size(); }
  uint8_t U8() { return static_cast<uint8_t>(Little(1)); }
  uint16_t U16() { return static_cast<uint16_t>(Little(2)); }
  uint32_t U32() { return static_cast<uint32_t>(Little(4)); }
  uint64_t U64() { return Little(8); }
  int64_t I64() { return static_cast<int64_t>(Little(8)); }
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      const uint8_t byte = U8();
      if (!ok_ || (shift == 63 && byte > 1)) break;
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    ok_ = false;
    return 0;
  }
  // A varint that must not exceed `max`.
  uint64_t VarintUpTo(uint64_t max) {
    const uint64_t value = Varint();
    if (value > max) ok_ = false;
    return ok_ ? value : 0;
  }
  std::string_view Raw(uint64_t size) {
    if (!ok_ || size > in_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view taken = in_.substr(0, size);
    in_.remove_prefix(size);
    return taken;
  }
  std::string_view Bytes() { return Raw(Varint()); }
  Digest Hash() {
    Digest digest;
    const std::string_view raw = Raw(digest.bytes.size());
    if (ok_) std::memcpy(digest.bytes.data(), raw.data(), raw.size());
    return digest;
  }

 private:
  uint64_t Little(size_t bytes) {
    const std::string_view raw = Raw(bytes);
    uint64_t value = 0;
    for (size_t i = raw.size(); i > 0; --i) value = value << 8 | static_cast<uint8_t>(raw[i - 1]);
    return value;
  }
  std::string_view in_;
  bool ok_ = true;
};

inline std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline std::string_view AsText(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace slacker
