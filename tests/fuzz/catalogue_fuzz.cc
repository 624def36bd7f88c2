// hellobench's catalogue: what is refused adds nothing, what is accepted can be run.
#include <cstdint>
#include <string_view>

#include "backend/base/check.h"
#include "backend/base/image_reference.h"
#include "cmd/hellobench/catalogue/catalogue.h"

namespace hellobench = slacker::hellobench;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  hellobench::Catalogue catalogue;
  const absl::Status added = catalogue.Add(text, "catalogue.toml", "/nonexistent");
  if (!added.ok()) {
    SLACKER_CHECK(added.code() == absl::StatusCode::kInvalidArgument, "nothing else");
    SLACKER_CHECK(added.message().find("catalogue.toml:") == 0, "file and line come first");
    SLACKER_CHECK(catalogue.images().empty(), "a refused file adds nothing");
    return 0;
  }
  for (const hellobench::Image& image : catalogue.images()) {
    SLACKER_CHECK(*catalogue.Find(image.name) == &image, "names are unique");
    SLACKER_CHECK(slacker::ParseImageReference(image.task.image).ok(), "image");
    SLACKER_CHECK(image.task.time_limit_seconds > 0, "time_limit");
    const auto* port = std::get_if<hellobench::ReadyPort>(&image.task.ready);
    SLACKER_CHECK(port == nullptr || port->port != 0, "ready_port");
  }
  return 0;
}
