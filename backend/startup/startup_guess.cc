#include "backend/startup/startup_guess.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/startup/library_search.h"
#include "backend/startup/runtime_files.h"

namespace slacker {
namespace {

constexpr uint8_t kGuessVersion = 2;
constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
// Who starts a container reads the first two, a libc the others.
constexpr const char* kCommonFiles[] = {"/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
                                        "/etc/ld.so.preload"};
constexpr int kMaxInterpreters = 4;  // of an interpreter
constexpr size_t kMaxArguments = 64;
constexpr uint64_t kShebangBytes = 256;
constexpr uint64_t kMaxArgumentFileBytes = 4 << 20;

std::string_view BaseName(std::string_view path) {
  return path.substr(path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/') + 1);
}

// Splits at blanks; quotes mean nothing.
std::vector<std::string> Words(std::string_view line) {
  std::vector<std::string> words;
  while (words.size() < kMaxArguments) {
    const size_t begin = line.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) break;
    line.remove_prefix(begin);
    const size_t end = std::min(line.find_first_of(" \t\r\n"), line.size());
    words.emplace_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  return words;
}

bool IsAssignment(std::string_view word) {
  const size_t equals = word.find('=');
  return equals != std::string_view::npos && equals > 0 &&
         word.substr(0, equals).find('/') == std::string_view::npos;
}

bool IsShell(std::string_view path) {
  const std::string_view name = BaseName(path);
  return name == "sh" || name == "bash" || name == "dash" || name == "ash";
}

// The program that `sh -c TEXT` probably runs first: "exec", and assignments before it, left out.
std::string FirstProgram(std::string_view text) {
  for (const std::string& word : Words(text)) {
    if (word == "exec" || IsAssignment(word)) continue;
    return word.find_first_of("\"'$`;&|<>(){}") == std::string::npos ? word : "";
  }
  return "";
}

class Guess {
 public:
  Guess(ImageFiles* files, const StartCommand& command)
      : files_(files),
        command_(command),
        path_(Variable("PATH", kDefaultPath)),
        libraries_(files, Variable("LD_LIBRARY_PATH", "")) {}

  absl::StatusOr<std::vector<ChunkRun>> Run() {
    for (const char* path : kCommonFiles) AddPath(path);
    std::vector<std::string> arguments = command_.entrypoint;
    arguments.insert(arguments.end(), command_.command.begin(), command_.command.end());
    if (arguments.size() > kMaxArguments) arguments.resize(kMaxArguments);
    for (size_t i = 0; i < arguments.size(); ++i) {
      // An entrypoint that is a script mostly ends by running the command.
      const bool is_program = i == 0 || i == command_.entrypoint.size();
      if (is_program) {
        RETURN_IF_ERROR(AddProgram(Resolve(arguments[i]), 0));
      } else if (arguments[i].find('/') != std::string::npos) {
        AddArgument(arguments[i]);
      }
      if (i >= 2 && arguments[i - 1] == "-c" && IsShell(arguments[i - 2])) {
        RETURN_IF_ERROR(AddProgram(Resolve(FirstProgram(arguments[i])), 0));
      }
    }
    return std::move(runs_);
  }

 private:
  std::string Variable(const std::string& name, const char* otherwise) const {
    for (const std::string& variable : command_.environment) {
      if (variable.starts_with(name + "=")) return variable.substr(name.size() + 1);
    }
    return otherwise;
  }

  std::string Absolute(const std::string& path) const {
    return path.starts_with('/') ? path : command_.working_directory + "/" + path;
  }

  std::optional<ImageFiles::File> Resolve(const std::string& program) const {
    if (program.empty()) return std::nullopt;
    if (program.find('/') != std::string::npos) return files_->Find(Absolute(program));
    std::string_view rest = path_;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find(':'), rest.size());
      const std::string directory(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      const auto found = files_->Find(Absolute(directory) + "/" + program);
      if (found.has_value() && found->executable) return found;
    }
    return std::nullopt;
  }

  void AddChunks(const ImageFiles::File& file, uint64_t offset, uint64_t size) {
    for (const ChunkRun& run : files_->ChunksOf(file, offset, size)) {
      for (uint32_t chunk = run.first; chunk < run.first + run.count; ++chunk) {
        const uint64_t bytes = files_->ChunkBytes(run.layer, chunk);
        if (bytes_ + bytes > kMaxGuessBytes) return;
        if (!seen_.emplace(run.layer, chunk).second) continue;
        bytes_ += bytes;
        if (!runs_.empty() && runs_.back().layer == run.layer &&
            runs_.back().first + runs_.back().count == chunk) {
          ++runs_.back().count;
        } else {
          runs_.push_back({run.layer, chunk, 1});
        }
      }
    }
  }
  void AddFile(const ImageFiles::File& file) { AddChunks(file, 0, file.size_bytes); }
  void AddPath(const std::string& path) {
    if (const auto file = files_->Find(path); file.has_value()) AddFile(*file);
  }
  void AddArgument(const std::string& path) {
    const auto file = files_->Find(Absolute(path));
    if (file.has_value() && file->size_bytes <= kMaxArgumentFileBytes) AddFile(*file);
  }
  void AddElf(const FoundElf& found) {
    AddChunks(found.file, 0, 1);
    for (const auto& [offset, bytes] : found.elf.loaded) AddChunks(found.file, offset, bytes);
  }

  // `depth`: of interpreters.
  absl::Status AddProgram(const std::optional<ImageFiles::File>& program, int depth) {
    if (!program.has_value() || depth > kMaxInterpreters) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::optional<FoundElf> elf, libraries_.Open(program->path));
    if (!elf.has_value()) return AddScript(*program, depth);
    AddElf(*elf);
    if (!elf->elf.interpreter.empty()) {
      ASSIGN_OR_RETURN(const auto linker, libraries_.Open(elf->elf.interpreter));
      if (linker.has_value()) AddElf(*linker);
    }
    ASSIGN_OR_RETURN(const std::vector<FoundElf> libraries, libraries_.LibrariesOf(*elf));
    if (libraries_.cache_file().has_value()) AddFile(*libraries_.cache_file());
    for (const FoundElf& library : libraries) AddElf(library);
    for (const RuntimeFile& file : RuntimeFilesOf(program->path)) {
      RETURN_IF_ERROR(AddRuntimeFile(file));
    }
    return absl::OkStatus();
  }

  absl::Status AddRuntimeFile(const RuntimeFile& wanted) {
    for (const std::string& path : wanted.paths) {
      const auto file = files_->Find(path);
      if (!file.has_value()) continue;
      ASSIGN_OR_RETURN(const std::optional<FoundElf> library, libraries_.Open(path));
      if (library.has_value()) {
        AddElf(*library);
      } else {
        AddChunks(*file, 0, std::min(wanted.bytes, file->size_bytes));
      }
      break;
    }
    return absl::OkStatus();
  }

  absl::Status AddScript(const ImageFiles::File& script, int depth) {
    ASSIGN_OR_RETURN(const std::string beginning, files_->Read(script, 0, kShebangBytes));
    if (!beginning.starts_with("#!")) return absl::OkStatus();
    if (script.size_bytes <= kMaxArgumentFileBytes) AddFile(script);
    const std::vector<std::string> words =
        Words(std::string_view(beginning).substr(2, beginning.find('\n') - 2));
    if (words.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(AddProgram(files_->Find(Absolute(words[0])), depth + 1));
    if (BaseName(words[0]) != "env") return absl::OkStatus();
    for (size_t i = 1; i < words.size(); ++i) {
      if (words[i].starts_with('-') || IsAssignment(words[i])) continue;
      return AddProgram(Resolve(words[i]), depth + 1);
    }
    return absl::OkStatus();
  }

  ImageFiles* const files_;
  const StartCommand& command_;
  const std::string path_;
  LibrarySearch libraries_;
  uint64_t bytes_ = 0;
  absl::flat_hash_set<std::pair<uint32_t, uint32_t>> seen_;
  std::vector<ChunkRun> runs_;
};

}  // namespace

absl::StatusOr<std::vector<ChunkRun>> GuessStartup(ImageFiles& files, const StartCommand& command) {
  return Guess(&files, command).Run();
}

Digest GuessId(const StartCommand& command) {
  std::string text;
  Encoder out(&text);
  out.U8(kGuessVersion);
  for (const auto* list : {&command.entrypoint, &command.command, &command.environment}) {
    out.Varint(list->size());
    for (const std::string& word : *list) out.Bytes(word);
  }
  out.Bytes(command.working_directory);
  return Sha256::Of(text);
}

}  // namespace slacker
