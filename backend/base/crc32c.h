// CRC-32C (Castagnoli), the checksum of iSCSI and ext4 (RFC 3720, appendix B.4): finds what a disk or
// a stray write did. It proves nothing against somebody who wants it to match.
#pragma once

#include <cstdint>
#include <string_view>

namespace slacker {

uint32_t Crc32c(std::string_view bytes);

}  // namespace slacker
