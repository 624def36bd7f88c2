#include "tests/support/tar_builder.h"

#include <algorithm>
#include <cstring>

namespace slacker::testing {
namespace {

void PutText(std::string* block, size_t offset, std::string_view text) {
  std::memcpy(block->data() + offset, text.data(), text.size());
}

void PutNumber(std::string* block, size_t offset, size_t width, int64_t value) {
  if (value >= 0 && (value >> (3 * (width - 1))) == 0) {
    for (size_t i = width - 1; i-- > 0; value >>= 3) {
      (*block)[offset + i] = static_cast<char>('0' + (value & 7));
    }
    return;
  }
  for (size_t i = width; i-- > 0; value >>= 8) {
    (*block)[offset + i] = static_cast<char>(value & 0xff);
  }
  (*block)[offset] = static_cast<char>((*block)[offset] | '\x80');
}

std::string PaxRecord(const std::string& key, const std::string& value) {
  const size_t body = key.size() + value.size() + 3;
  size_t length = body + 1;
  while (std::to_string(length).size() + body != length) ++length;
  return std::to_string(length) + " " + key + "=" + value + "\n";
}

}  // namespace

std::string TarBlock::Encode() const {
  std::string block(512, '\0');
  PutText(&block, 0, std::string_view(name).substr(0, 100));
  PutNumber(&block, 100, 8, mode);
  PutNumber(&block, 108, 8, uid);
  PutNumber(&block, 116, 8, gid);
  PutNumber(&block, 124, 12, size);
  PutNumber(&block, 136, 12, mtime);
  block[156] = type;
  PutText(&block, 157, std::string_view(link_name).substr(0, 100));
  PutText(&block, 257, magic);
  if (magic[0] != '\0') {
    PutNumber(&block, 329, 8, dev_major);
    PutNumber(&block, 337, 8, dev_minor);
    PutText(&block, 345, std::string_view(prefix).substr(0, 155));
  }
  for (const auto& [offset, text] : raw) PutText(&block, offset, text);
  std::fill_n(block.begin() + 148, 8, ' ');
  int64_t sum = 0;
  for (const char c : block) sum += static_cast<uint8_t>(c);
  PutNumber(&block, 148, 7, sum);
  block[154] = '\0';
  for (const auto& [offset, text] : raw) {
    if (offset >= 148 && offset < 156) PutText(&block, offset, text);
  }
  return block;
}

TarBlock MakeBlock(std::string name, char type) {
  TarBlock block;
  block.name = std::move(name);
  block.type = type;
  return block;
}

TarBlock MakeDevice(std::string name, char type, int64_t major, int64_t minor) {
  TarBlock block = MakeBlock(std::move(name), type);
  block.dev_major = major;
  block.dev_minor = minor;
  return block;
}

std::string Noise(size_t size) {
  std::string text(size, '\0');
  uint32_t state = 99;
  for (char& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

std::string PaxContent(const PaxList& records) {
  std::string content;
  for (const auto& [key, value] : records) content += PaxRecord(key, value);
  return content;
}

TarBuilder& TarBuilder::Add(TarBlock block, std::string_view content, bool keep_size) {
  if (!keep_size) block.size = static_cast<int64_t>(content.size());
  bytes_ += block.Encode();
  bytes_ += content;
  bytes_.resize((bytes_.size() + 511) / 512 * 512, '\0');
  return *this;
}

TarBuilder& TarBuilder::File(std::string name, std::string_view content, int64_t mode) {
  TarBlock block;
  block.name = std::move(name);
  block.mode = mode;
  return Add(block, content);
}

TarBuilder& TarBuilder::Directory(std::string name, int64_t mode) {
  TarBlock block;
  block.name = std::move(name);
  block.type = '5';
  block.mode = mode;
  return Add(block);
}

TarBuilder& TarBuilder::Symlink(std::string name, std::string target) {
  TarBlock block;
  block.name = std::move(name);
  block.type = '2';
  block.mode = 0777;
  block.link_name = std::move(target);
  return Add(block);
}

TarBuilder& TarBuilder::Link(std::string name, std::string target) {
  TarBlock block;
  block.name = std::move(name);
  block.type = '1';
  block.link_name = std::move(target);
  return Add(block);
}

TarBuilder& TarBuilder::Pax(const PaxList& records, char type) {
  TarBlock block;
  block.name = "PaxHeaders.0/x";
  block.type = type;
  return Add(block, PaxContent(records));
}

TarBuilder& TarBuilder::GnuLong(char type, std::string_view text) {
  TarBlock block;
  block.name = "././@LongLink";
  block.type = type;
  block.magic = kGnuMagic;
  return Add(block, std::string(text) + '\0');
}

TarBuilder& TarBuilder::Raw(std::string_view bytes) {
  bytes_ += bytes;
  return *this;
}

}  // namespace slacker::testing
