#include "cmd/slackerctl/verbs/damages.h"

#include <ostream>

#include "cmd/slackerctl/output.h"

namespace slacker::ctl {

nlohmann::json DamagesJson(const std::vector<Damage>& damages) {
  nlohmann::json list = nlohmann::json::array();
  for (const Damage& damage : damages) {
    list.push_back({{"object", damage.object}, {"what", damage.what}, {"images", damage.images}});
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
    out << (damage.images.empty() ? "\n" : ")\n");
  }
}

void PrintVerdict(const VerifyReport& report, const Console& console) {
  if (report.damages.empty()) {
    console.out << "everything is sound";
  } else {
    console.out << Counted(report.damages.size(), "damage");
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
