// What a layer unpacks to, as text: one line an entry, parents first, names sorted bytewise.
//
//   /NAME whiteout
//   /NAME mtime=S.N mode=OCTAL uid=N gid=N link=GROUP DETAIL [opaque] [XATTR=VALUE]…
//
// GROUP is the first name of an inode with several, "-" otherwise; the time of an implicit
// directory is "*"; bytes that are no printable ASCII are %XX. main.go writes the same of a
// directory.
#pragma once

#include <string>

#include "tests/support/read_layer.h"

namespace slacker::testing {

std::string LayerManifest(const ReadLayer& read);

}  // namespace slacker::testing
