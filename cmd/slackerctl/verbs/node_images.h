// The second half of the verb `images`: what this node has, instead of what a store has; and what
// `status` says of images.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cmd/slackerctl/verb.h"
#include "snapshotter/images/node_report.h"

namespace slacker::ctl {

// Looks into the root directory of a slackerd, which may run; asks no store.
int ListNodeImages(const std::string& root, bool json, const Console& console);

// The same for images that were read already: rows, and JSON.
void PrintNodeImages(const std::vector<NodeImage>& images, const Console& console);
nlohmann::json NodeImagesJson(const std::vector<NodeImage>& images);

}  // namespace slacker::ctl
