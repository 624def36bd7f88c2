#include "tests/unit/backend/startup/elf_builder.h"

#include <utility>

namespace slacker::testing {
namespace {

constexpr uint64_t kBase = 0x400000;  // where the file is mapped to

class Writer {
 public:
  explicit Writer(const ElfBuilder& elf) : elf_(elf) {}
  void Number(uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i) {
      const size_t byte = elf_.is_little ? i : size - 1 - i;
      out_.push_back(static_cast<char>(value >> (8 * byte)));
    }
  }
  void Long(uint64_t value) { Number(value, elf_.is_64_bit ? 8 : 4); }
  void Segment(uint64_t type, uint64_t offset, uint64_t bytes) {
    Number(type, 4);
    if (elf_.is_64_bit) Number(5, 4);
    for (const uint64_t value : {offset, kBase + offset, kBase + offset, bytes, bytes}) Long(value);
    if (!elf_.is_64_bit) Number(5, 4);
    Long(4096);
  }
  std::string& out() { return out_; }

 private:
  const ElfBuilder& elf_;
  std::string out_;
};

}  // namespace

std::string ElfBuilder::Build() const {
  std::string strings(1, '\0');
  std::vector<std::pair<uint64_t, uint64_t>> dynamic;
  const auto add = [&](uint64_t tag, const std::string& text) {
    dynamic.emplace_back(tag, strings.size());
    strings += text + '\0';
  };
  for (const std::string& name : needed) add(1, name);
  if (!rpath.empty()) add(15, rpath);
  if (!runpath.empty()) add(29, runpath);
  const uint64_t header = is_64_bit ? 64 : 52, row = is_64_bit ? 56 : 32;
  const bool has_dynamic = !dynamic.empty();
  const uint64_t rows = 1 + (interpreter.empty() ? 0 : 1) + (has_dynamic ? 1 : 0);
  const uint64_t interpreter_at = header + row * rows;
  const uint64_t interpreter_bytes = interpreter.empty() ? 0 : interpreter.size() + 1;
  const uint64_t strings_at = interpreter_at + interpreter_bytes;
  const uint64_t dynamic_at = strings_at + strings.size();
  const uint64_t dynamic_bytes = has_dynamic ? (dynamic.size() + 3) * (is_64_bit ? 16 : 8) : 0;
  const uint64_t mapped = dynamic_at + dynamic_bytes + content_bytes;

  Writer writer(*this);
  writer.out() = std::string(
                     "\x7f"
                     "ELF") +
                 static_cast<char>(is_64_bit ? 2 : 1) + static_cast<char>(is_little ? 1 : 2) +
                 '\1' + std::string(9, '\0');
  writer.Number(3, 2);
  writer.Number(machine, 2);
  writer.Number(1, 4);
  writer.Long(kBase);
  writer.Long(header);
  writer.Long(0);
  writer.Number(0, 4);
  for (const uint64_t value : {header, row, rows, uint64_t{0}, uint64_t{0}, uint64_t{0}}) {
    writer.Number(value, 2);
  }
  if (!interpreter.empty()) writer.Segment(3, interpreter_at, interpreter_bytes);
  writer.Segment(1, 0, mapped);
  if (has_dynamic) writer.Segment(2, dynamic_at, dynamic_bytes);
  if (!interpreter.empty()) writer.out() += interpreter + '\0';
  writer.out() += strings;
  if (has_dynamic) {
    dynamic.emplace_back(5, kBase + strings_at);
    dynamic.emplace_back(10, strings.size());
    dynamic.emplace_back(0, 0);
    for (const auto& [tag, value] : dynamic) {
      writer.Long(tag);
      writer.Long(value);
    }
  }
  writer.out() += std::string(content_bytes, 'c') + std::string(unmapped_bytes, 'd');
  return writer.out();
}

}  // namespace slacker::testing
