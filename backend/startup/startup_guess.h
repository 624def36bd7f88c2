// What the start of a container will read, guessed from the image alone: for as long as nobody has
// seen one.
//
// The guess: /etc/passwd, /etc/group and what else a libc reads at once; the program (entrypoint,
// and the first word of the command behind an entrypoint), found by PATH and links, the interpreters
// of scripts (`env` is understood, and the command of `sh -c`), the dynamic linker, its cache and
// the libraries that are needed, and what its runtime always reads (runtime_files.h); other arguments
// that are files. Of ELF files what is mapped, of
// others everything.
//
// Everything in an image is hostile: it can make the guess wrong or empty, and as large as the
// limits, no more. Thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/base/digest.h"
#include "backend/source/start_command.h"
#include "backend/startup/image_files.h"
#include "backend/store/boot_pack.h"

namespace slacker {

inline constexpr uint64_t kMaxGuessBytes = uint64_t{64} << 20;  // uncompressed

// Chunks in the order in which they are probably touched, none twice; no more than kMaxGuessBytes of
// them. Errors: those of the source of chunks.
absl::StatusOr<std::vector<ChunkRun>> GuessStartup(ImageFiles& files, const StartCommand& command);

// Changes with whatever the guess depends on beside the layers: the command, and how we guess.
Digest GuessId(const StartCommand& command);

}  // namespace slacker
