#include "cmd/hellobench/site/pause_image.h"

#include <elf.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "backend/base/digest.h"
#include "backend/base/status.h"
#include "cmd/hellobench/site/files.h"

namespace slacker::hellobench {
namespace {

constexpr char kOci[] = "application/vnd.oci.image.";
constexpr size_t kTarBlock = 512;
constexpr uint64_t kLoadAddress = 0x400000;

// pause() for ever; a sandbox is ended with SIGKILL.
#if defined(__x86_64__)
constexpr Elf64_Half kMachine = EM_X86_64;
constexpr char kArchitecture[] = "amd64";
// mov $34, %eax; syscall; jmp back
constexpr std::array<unsigned char, 9> kCode = {0xb8, 0x22, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7};
#elif defined(__aarch64__)
constexpr Elf64_Half kMachine = EM_AARCH64;
constexpr char kArchitecture[] = "arm64";
// ppoll(NULL, 0, NULL, NULL): mov x0..x3, #0; mov x8, #73; svc #0; b back
constexpr std::array<unsigned char, 28> kCode = {
    0x00, 0x00, 0x80, 0xd2, 0x01, 0x00, 0x80, 0xd2, 0x02, 0x00, 0x80, 0xd2, 0x03, 0x00,
    0x80, 0xd2, 0x28, 0x09, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0xfa, 0xff, 0xff, 0x17};
#else
#error "no program that pauses for this architecture"
#endif

// One segment, which has the headers and the code.
std::string Program() {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_EXEC;
  header.e_machine = kMachine;
  header.e_version = EV_CURRENT;
  header.e_entry = kLoadAddress + sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
  header.e_phoff = sizeof(Elf64_Ehdr);
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  Elf64_Phdr segment{};
  segment.p_type = PT_LOAD;
  segment.p_flags = PF_R | PF_X;
  segment.p_vaddr = segment.p_paddr = kLoadAddress;
  segment.p_filesz = segment.p_memsz = sizeof header + sizeof segment + kCode.size();
  segment.p_align = 0x1000;
  std::string program(reinterpret_cast<const char*>(&header), sizeof header);
  program.append(reinterpret_cast<const char*>(&segment), sizeof segment);
  return program.append(reinterpret_cast<const char*>(kCode.data()), kCode.size());
}

// ustar with this one file.
std::string Tar(const std::string& name, const std::string& content) {
  std::string header(kTarBlock, '\0');
  const auto put = [&header](size_t at, const std::string& text) {
    header.replace(at, text.size(), text);
  };
  std::array<char, 12> size{};
  (void)std::snprintf(size.data(), size.size(), "%011zo", content.size());
  put(0, name);
  put(100, "0000755");
  put(108, "0000000");
  put(116, "0000000");
  put(124, size.data());
  put(136, "00000000000");
  put(148, "        ");  // the checksum counts as blanks
  put(156, "0");
  put(257, "ustar");
  put(263, "00");
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  std::array<char, 8> checksum{};
  (void)std::snprintf(checksum.data(), checksum.size(), "%06o", sum);
  put(148, std::string(checksum.data(), 6) + std::string("\0 ", 2));
  std::string tar = header + content;
  tar.resize((tar.size() + kTarBlock - 1) / kTarBlock * kTarBlock + 2 * kTarBlock);
  return tar;
}

}  // namespace

absl::Status WritePauseImage(const std::string& layout) {
  const auto put = [&layout](const std::string& bytes, const std::string& kind,
                             nlohmann::json* descriptor) {
    const Digest digest = Sha256::Of(bytes);
    *descriptor = {
        {"mediaType", kOci + kind}, {"digest", digest.ToString()}, {"size", bytes.size()}};
    return WriteText(layout + "/blobs/sha256/" + digest.ToHex(), bytes);
  };
  nlohmann::json layer, config, manifest;
  RETURN_IF_ERROR(put(Tar("pause", Program()), "layer.v1.tar", &layer));
  const nlohmann::json image = {{"architecture", kArchitecture},
                                {"os", "linux"},
                                {"config", {{"Entrypoint", {"/pause"}}, {"WorkingDir", "/"}}},
                                {"rootfs", {{"type", "layers"}, {"diff_ids", {layer["digest"]}}}}};
  RETURN_IF_ERROR(put(image.dump(), "config.v1+json", &config));
  const nlohmann::json described = {{"schemaVersion", 2},
                                    {"mediaType", std::string(kOci) + "manifest.v1+json"},
                                    {"config", config},
                                    {"layers", {layer}}};
  RETURN_IF_ERROR(put(described.dump(), "manifest.v1+json", &manifest));
  manifest["annotations"] = {{"org.opencontainers.image.ref.name", kPauseName}};
  const nlohmann::json index = {{"schemaVersion", 2},
                                {"mediaType", std::string(kOci) + "index.v1+json"},
                                {"manifests", {manifest}}};
  RETURN_IF_ERROR(WriteText(layout + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  return WriteText(layout + "/index.json", index.dump());
}

}  // namespace slacker::hellobench
