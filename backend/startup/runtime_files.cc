#include "backend/startup/runtime_files.h"

#include <charconv>
#include <limits>
#include <system_error>

namespace slacker {
namespace {

constexpr uint64_t kAll = std::numeric_limits<uint64_t>::max();
// The table of contents of Java's modules file, and the classes that are not in its archive.
constexpr uint64_t kModulesBytes = 2 << 20;

// What `python3 -X importtime -c pass` imports from files. From 3.11 on the second part is in the
// program itself.
constexpr const char* kPythonModules[] = {"encodings/__init__", "encodings/aliases",
                                          "encodings/utf_8"};
constexpr const char* kUnfrozenModules[] = {
    "abc",  "codecs",    "io",          "encodings/latin_1", "site",         "os",
    "stat", "posixpath", "genericpath", "_collections_abc",  "_sitebuiltins"};
constexpr int kFrozenSince = 11;  // 3.11

std::string_view Parent(std::string_view path) {
  const size_t slash = path.rfind('/');
  return path.substr(0, slash == std::string_view::npos ? 0 : slash);
}

RuntimeFile Module(const std::string& library, std::string_view module, const std::string& tag) {
  const std::string_view package = Parent(module);
  const std::string directory = library + "/" + (package.empty() ? "" : std::string(package) + "/");
  const std::string name(module.substr(package.empty() ? 0 : package.size() + 1));
  // A module that was compiled is not read itself.
  return {{directory + "__pycache__/" + name + "." + tag + ".pyc", directory + name + ".py"}, kAll};
}

std::vector<RuntimeFile> PythonFiles(std::string_view prefix, std::string_view version) {
  int minor = 0;
  if (!version.starts_with("3.")) return {};
  const char* const end = version.data() + version.size();
  const auto [stop, error] = std::from_chars(version.data() + 2, end, minor);
  if (error != std::errc() || stop != end || minor < 0) return {};
  const std::string library = std::string(prefix) + "/lib/python" + std::string(version);
  const std::string tag = "cpython-3" + std::to_string(minor);
  std::vector<RuntimeFile> files;
  for (const char* module : kPythonModules) files.push_back(Module(library, module, tag));
  if (minor < kFrozenSince) {
    for (const char* module : kUnfrozenModules) files.push_back(Module(library, module, tag));
  }
  files.push_back(Module(library, "sitecustomize", tag));
  return files;
}

std::vector<RuntimeFile> JavaFiles(std::string_view home) {
  const std::string library = std::string(home) + "/lib/";
  return {{{library + "jvm.cfg"}, kAll},
          {{library + "server/libjvm.so"}, kAll},
          {{library + "libjimage.so"}, kAll},
          {{library + "libjava.so"}, kAll},
          {{library + "server/classes.jsa"}, kAll},
          {{library + "modules"}, kModulesBytes},
          {{std::string(home) + "/conf/security/java.security"}, kAll},
          {{library + "libnio.so"}, kAll},
          {{library + "libnet.so"}, kAll},
          {{library + "libzip.so"}, kAll}};
}

}  // namespace

std::vector<RuntimeFile> RuntimeFilesOf(std::string_view program) {
  constexpr std::string_view kPython = "python";
  const std::string_view directory = Parent(program);
  const std::string_view prefix = Parent(directory);
  if (program.size() <= directory.size()) return {};
  const std::string_view name = program.substr(directory.size() + 1);
  if (name.starts_with(kPython)) return PythonFiles(prefix, name.substr(kPython.size()));
  if (name == "java") return JavaFiles(prefix);
  return {};
}

}  // namespace slacker
