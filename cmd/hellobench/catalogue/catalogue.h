// The images of the benchmark, each with the task that says when a container of it does useful work.
//
// The kinds are those of HelloBench (FAST'16): E says hello and ends; A ends with what its arguments
// ask for; S runs a script in a shell; W writes a line that says it is ready; P answers HTTP. What the
// file's keys mean is in docs/operations.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cmd/hellobench/catalogue/task.h"

namespace slacker::hellobench {

enum class Category { kDistro, kDatabase, kLanguage, kWebServer, kWebFramework, kOther };
enum class Kind { kEcho, kArguments, kScript, kLine, kPort };

std::string_view NameOf(Category category);  // "web-server"
std::string_view NameOf(Kind kind);          // "E"
// INVALID_ARGUMENT, with the names there are, for any other.
absl::StatusOr<Category> CategoryOf(std::string_view name);

struct Image {
  std::string name;
  Category category = Category::kOther;
  Kind kind = Kind::kEcho;
  std::string original;  // the paper's, where something of the entry is not the paper's; else ""
  std::string note;      // what, and why; "" without an original
  Task task;
};

inline constexpr int64_t kMaxTimeLimitSeconds = 24 * 60 * 60;

// What is known, in the order of its files; names are unique.
class Catalogue {
 public:
  // Adds the entries of a file called `file`; relative folders of mounts are below `directory`.
  // INVALID_ARGUMENT with file, line and key for what is not TOML, an unknown key, a key that the kind
  // has no use for, one that is missing, a wrong value, and a name that there is already; then
  // nothing is added. `text` may be anything.
  absl::Status Add(std::string_view text, const std::string& file, const std::string& directory);
  absl::Status AddFile(const std::string& path);

  const std::vector<Image>& images() const { return images_; }
  std::vector<Image> InCategory(Category category) const;
  // NOT_FOUND for a name that is in none of the files.
  absl::StatusOr<const Image*> Find(std::string_view name) const;

 private:
  std::vector<Image> images_;
};

// Where what is installed with this program lies: the catalogue, sources of tasks, scripts.
absl::StatusOr<std::string> DataDirectory();

// The file that is installed there, which has the paper's images, and further files.
absl::StatusOr<Catalogue> OpenCatalogue(const std::vector<std::string>& files);

// One JSON array with an object for each image.
std::string ToJson(const std::vector<Image>& images);
// A line for each, in columns: name, category, kind, image.
std::string ToText(const std::vector<Image>& images);

}  // namespace slacker::hellobench
