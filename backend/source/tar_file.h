// The members of a tar file by name, without unpacking it.
#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/source/layout_files.h"

namespace slacker {

// Reads all headers once (the contents are passed over), then members at their places; symbolic and
// hard links lead to members of the same archive. A leading "./" of a name does not count. At most
// 262,144 members and 64 MiB of names. NOT_FOUND: no such file. INVALID_ARGUMENT: not a plain tar
// (a compressed one must be unpacked first), truncated (the end mark is missing), or with two files
// of one name: it would not mean one thing. A file that changes while it is read ends in DATA_LOSS
// or in bytes that its digests do not cover.
absl::StatusOr<std::unique_ptr<LayoutFiles>> OpenTarFile(std::string_view path);

}  // namespace slacker
