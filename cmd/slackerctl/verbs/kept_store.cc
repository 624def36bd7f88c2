#include "cmd/slackerctl/verbs/kept_store.h"

#include <utility>

#include "backend/base/status.h"
#include "backend/upkeep/objects.h"
#include "cmd/common/hint.h"
#include "cmd/common/store_url.h"

namespace slacker::ctl {

absl::StatusOr<std::shared_ptr<Backend>> OpenKeptStore(const std::string& url) {
  ASSIGN_OR_RETURN(std::shared_ptr<Backend> store, OpenExistingBackend(url));
  ASSIGN_OR_RETURN(const bool found, HasObjects(*store));
  if (found) return store;
  return WithHint(NotFound("no store at " + url + ": nothing that is there is one's"),
                  "see whether this is the right store (--store), and whether it is mounted; "
                  "\"slackerctl publish\" makes one");
}

}  // namespace slacker::ctl
