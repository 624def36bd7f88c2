// Platforms as in the OCI image spec ("linux/amd64", "linux/arm64/v8").
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "backend/base/platform.h"

namespace slacker {

// linux and this machine's architecture under its Go name.
Platform HostPlatform();

// os/arch[/variant], each of [a-z0-9._]. INVALID_ARGUMENT for anything else.
absl::StatusOr<Platform> ParsePlatform(std::string_view text);

// The form that ParsePlatform reads.
std::string FormatPlatform(const Platform& platform);

// Whether an image for `offered` is what `wanted` asks for. Default variants are equal to none
// (arm64/v8, arm/v7, amd64/v1); a `wanted` without a variant takes the default one only.
bool PlatformMatches(const Platform& wanted, const Platform& offered);

}  // namespace slacker
