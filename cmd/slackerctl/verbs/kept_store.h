// The store for verbs that look at all of it, or maintain it.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backend/backend.h"

namespace slacker::ctl {

// As OpenExistingBackend (cmd/common/store_url.h), and NOT_FOUND where nothing of a store is in it: somebody
// else's directory is neither sound nor to be kept.
absl::StatusOr<std::shared_ptr<Backend>> OpenKeptStore(const std::string& url);

}  // namespace slacker::ctl
