// Tars of every dialect and oddity that readers disagree about.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace slacker::testing {

enum class Verdict {
  kAccepted,
  kRefused,    // by containerd's apply and by us
  kAmbiguous,  // containerd accepts it, but libarchive reads it differently: refused here
};

struct OddTar {
  std::string name;
  std::string bytes;
  Verdict verdict = Verdict::kAccepted;
};

inline void PrintTo(const OddTar& tar, std::ostream* out) { *out << tar.name; }

std::vector<OddTar> OddFormats();  // dialects, numbers, types, sparse files, contents
std::vector<OddTar> OddTrees();    // names, replacements, links, whiteouts, xattrs
std::vector<OddTar> OddTars();     // all of them

}  // namespace slacker::testing
