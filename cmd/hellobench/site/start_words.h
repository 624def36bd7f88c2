// A task as words for a program that starts an image by itself, without containerd.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cmd/hellobench/catalogue/task.h"

namespace slacker::hellobench {

// What a container of the task would run: the entrypoint of the image or the task's, with its arguments,
// its environment by env, and its mounted folders by a shell that writes their files first. `config` is
// the image's, as JSON. INVALID_ARGUMENT: there is nothing to run, or no configuration;
// RESOURCE_EXHAUSTED: the folders are larger than a command line can be; errors of reading.
absl::StatusOr<std::vector<std::string>> StartWords(const Task& task, std::string_view config);

// For a shell: each word in quotes.
std::string Quoted(const std::vector<std::string>& words);

// The configuration of an image of an OCI layout, as JSON. NOT_FOUND: the layout has no such image.
absl::StatusOr<std::string> ReadImageConfig(const std::string& layout, const std::string& name);

}  // namespace slacker::hellobench
