// Names below trash/ and removed/: whoever may write a store chooses them.
#include <cstdint>
#include <string>

#include "backend/base/check.h"
#include "backend/store/names.h"
#include "backend/upkeep/objects.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string flat(reinterpret_cast<const char*>(data), size);
  for (const std::string_view prefix : {slacker::kTrashPrefix, slacker::kRemovedPrefix}) {
    const std::string name = std::string(prefix) + flat;
    const slacker::FlatName parsed = slacker::ParseFlatName(name);
    if (!parsed.id.empty()) (void)slacker::TimeOfMaintenanceId(parsed.id);
    (void)slacker::IdentifyObject(parsed.object);
    (void)slacker::IsForeign(name);
    if (flat.find('/') != flat.npos) continue;
    std::string again = slacker::TrashName(parsed.object);
    if (!parsed.id.empty()) again += "." + parsed.id;
    SLACKER_CHECK(again == std::string(slacker::kTrashPrefix) + flat, "the name comes back");
    if (slacker::IsObjectName(parsed.object)) {
      const slacker::FlatName trash = slacker::ParseFlatName(slacker::TrashName(parsed.object));
      SLACKER_CHECK(trash.object == parsed.object && trash.id.empty(), "it means one object");
    }
  }
  return 0;
}
