// Bytes as a compressed layer: what is unpacked is what zlib makes of it, however it is cut.
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "backend/base/check.h"
#include "backend/source/decompress.h"
#include "backend/source/verifying_source.h"
#include "tests/support/tar_builder.h"

namespace {

constexpr size_t kLimit = 4 << 20;

std::optional<std::string> Unpack(std::string_view bytes, size_t step) {
  const auto source =
      slacker::Decompress(std::make_unique<slacker::testing::StringSource>(bytes, step), kLimit);
  const auto content = slacker::ReadAll(*source, kLimit);
  return content.ok() ? std::optional(*content) : std::nullopt;
}

// All members of a gzip stream; nothing where zlib refuses it.
std::optional<std::string> UnpackWithZlib(std::string_view bytes) {
  std::string content;
  while (!bytes.empty()) {
    z_stream stream{};
    SLACKER_CHECK(inflateInit2(&stream, 15 + 16) == Z_OK, "out of memory");
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
    std::string out(kLimit + 1, '\0');
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int result = inflate(&stream, Z_NO_FLUSH);
    content.append(out, 0, out.size() - stream.avail_out);
    bytes.remove_prefix(bytes.size() - stream.avail_in);
    (void)inflateEnd(&stream);
    if (result != Z_STREAM_END || content.size() > kLimit) return std::nullopt;
  }
  return content;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = Unpack(bytes, 1 << 20);
  SLACKER_CHECK(Unpack(bytes, 3) == whole, "pieces do not matter");
  if (!whole.has_value() || !bytes.starts_with("\x1f\x8b")) return 0;
  const auto expected = UnpackWithZlib(bytes);
  SLACKER_CHECK(!expected.has_value() || *expected == *whole, "the content is zlib's");
  return 0;
}
