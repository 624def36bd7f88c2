#include "cmd/slackerctl/verbs/damages.h"

#include <algorithm>
#include <ostream>

#include "cmd/slackerctl/output.h"

namespace slacker::ctl {

nlohmann::json DamagesJson(const std::vector<Damage>& damages) {
  nlohmann::json list = nlohmann::json::array();
  for (const Damage& damage : damages) {
    list.push_back({{"object", damage.object},
                    {"what", damage.what},
                    {"images", damage.images},
                    {"unused", damage.unused}});
  }
  return list;
}

void PrintDamages(std::ostream& out, const char* label, const std::vector<Damage>& damages) {
  for (const Damage& damage : damages) {
    out << label << ": " << Printable(damage.object) << ": " << Printable(damage.what);
    const char* before = " (needed by ";
    for (const std::string& image : damage.images) {
      out << before << Printable(image);
      before = ", ";
    }
    if (!damage.images.empty()) out << ')';
    out << (damage.unused ? " (nothing needs it)\n" : "\n");
  }
}

void PrintVerdict(const VerifyReport& report, const Console& console) {
  if (report.damages.empty()) {
    console.out << "everything is sound";
  } else {
    console.out << Counted(report.damages.size(), "damage");
    const auto unused = std::count_if(report.damages.begin(), report.damages.end(),
                                      [](const Damage& damage) { return damage.unused; });
    if (unused > 0) console.out << ", " << unused << " of them in what nothing needs";
  }
  if (!report.untrusted.empty()) {
    console.out << ", but nodes with these keys take " << Counted(report.untrusted.size(), "chain")
                << " the ordinary way";
  }
  console.out << '\n';
}

int ExitCodeOf(const VerifyReport& report) {
  return report.damages.empty() && report.untrusted.empty() ? kExitOk : kExitFailed;
}

}  // namespace slacker::ctl
