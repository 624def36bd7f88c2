// What this machine's kernel can do of what attaching uses, found by trying it. For people: nothing
// is decided by it, whoever needs a feature meets with its absence by himself.
#pragma once

#include <string>
#include <vector>

#include "snapshotter/node_control.h"

namespace slacker {

// `directory`: on the disk with the blob caches; two files of 4 KiB are made there and removed, and
// one loop device is used for a moment. Whatever a killed process leaves there goes with the next
// start's clean-up of the caches.
std::vector<KernelFeature> ProbeKernel(const std::string& directory);

}  // namespace slacker
