// An NFS server in memory whose answers a test may hold back, shorten, or spoil. One thread.
#pragma once

#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "backend/base/check.h"
#include "backend/base/status.h"
#include "backend/nfs/protocol.h"

namespace slacker::nfs {

class FakeProtocol final : public Protocol {
 public:
  // By path ("" is the root): the handle is "<generation>:<path>".
  std::map<std::string, std::string> files;
  uint32_t read_bytes = 1000;
  uint32_t most_in_one_answer = 1000;  // of what READ asks for
  int generation = 0;                  // handles of others are stale
  bool holding = false;                // answers wait for Release
  bool answers_nothing = false;
  int lookups = 0;
  int reads = 0;
  // Runs when a READ is answered, before.
  std::function<void()> before_read;
  std::string removed;  // a file that has no name any more

  // Another directory has this name from now on (none, if it is to have nothing in it); who has the
  // old one's handle still finds in it what was there.
  void ReplaceDirectory(const std::string& path,
                        const std::map<std::string, std::string>& content) {
    const std::string old = path + " as it was";
    std::map<std::string, std::string> files_now;
    for (const auto& [name, bytes] : files) {
      const bool below = name.starts_with(path + "/");
      files_now[below ? old + name.substr(path.size()) : name] = bytes;
    }
    for (const auto& [name, bytes] : content) files_now[path + "/" + name] = bytes;
    files = std::move(files_now);
    moved_[HandleOf(path)] = old;
    handles_[path] = HandleOf(path) + " anew";
  }

  void Release() {
    holding = false;
    while (!held_.empty()) {
      auto answer = std::move(held_.front());
      held_.pop_front();
      answer();
    }
  }
  size_t held() const { return held_.size(); }

  void Enter(const std::vector<std::string>& path, Done<Entrance> done) override {
    Answer([this, path, done = std::move(done)] { done(Entrance{HandleOf(""), path}); });
  }
  void GetLimits(const Handle& /*root*/, Done<Limits> done) override {
    done(Limits{read_bytes, read_bytes});
  }
  void Lookup(const Handle& directory, const std::string& name, Done<Node> done) override {
    ++lookups;
    absl::StatusOr<Node> node = LookupNow(directory, name);
    Answer([node, done = std::move(done)] { done(node); });
  }
  void Read(const Handle& file, uint64_t offset, uint32_t size,
            std::function<void(const ReadPart&)> part,
            std::function<void(absl::Status)> done) override {
    ++reads;
    Answer([=, this, part = std::move(part), done = std::move(done)] {
      if (before_read) before_read();
      const absl::StatusOr<std::string> path = PathOf(file);
      if (!path.ok()) {
        done(path.status());
        return;
      }
      const std::string& content = files.at(*path);
      const std::string bytes =
          offset < content.size()
              ? content.substr(offset, std::min(size, answers_nothing ? 0 : most_in_one_answer))
              : "";
      part({bytes, offset + bytes.size() >= content.size(), *path == removed});
      done(absl::OkStatus());
    });
  }
  void CreateFile(const Handle&, const std::string&, Done<Node>) override { Unused(); }
  void Write(const Handle&, uint64_t, std::string_view, Done<WritePart>) override { Unused(); }
  void Commit(const Handle&, Done<uint64_t>) override { Unused(); }
  void Link(const Handle&, const Handle&, const std::string&, DoneOnce) override { Unused(); }
  void Rename(const Handle&, const std::string&, const Handle&, const std::string&,
              DoneOnce) override {
    Unused();
  }
  void Remove(const Handle&, const std::string&, DoneOnce) override { Unused(); }
  void MakeDirectory(const Handle&, const std::string&, DoneOnce) override { Unused(); }
  void ReadDirectory(const Handle&, uint64_t, uint64_t, Done<DirectoryPage>) override { Unused(); }
  void Close() override {}

 private:
  static void Unused() { SLACKER_CHECK(false, "reading does not write"); }

  void Answer(std::function<void()> answer) {
    if (holding) {
      held_.push_back(std::move(answer));
    } else {
      answer();
    }
  }
  Handle HandleOf(const std::string& path) const {
    const auto replaced = handles_.find(path);
    if (replaced != handles_.end()) return replaced->second;
    return std::to_string(generation) + ":" + path;
  }
  absl::StatusOr<std::string> PathOf(const Handle& handle) const {
    if (const auto moved = moved_.find(handle); moved != moved_.end()) return moved->second;
    for (const auto& [path, replaced] : handles_) {
      if (replaced == handle) return path;
    }
    const size_t colon = handle.find(':');
    if (handle.substr(0, colon) != std::to_string(generation)) return ErrnoError(ESTALE, handle);
    return handle.substr(colon + 1);
  }
  absl::StatusOr<Node> LookupNow(const Handle& directory, const std::string& name) const {
    ASSIGN_OR_RETURN(const std::string above, PathOf(directory));
    const std::string path = above.empty() ? name : above + "/" + name;
    if (const auto file = files.find(path); file != files.end()) {
      return Node{HandleOf(path), {FileType::kRegular, file->second.size(), 1, 1, 0}};
    }
    const auto below = files.lower_bound(path + "/");
    if (below != files.end() && below->first.starts_with(path + "/")) {
      return Node{HandleOf(path), {FileType::kDirectory, 0, 2, 2, 0}};
    }
    return ErrnoError(ENOENT, path);
  }

  std::deque<std::function<void()>> held_;
  std::map<Handle, std::string> moved_;    // of a replaced directory: where its content is
  std::map<std::string, Handle> handles_;  // of what replaced one, by path
};

}  // namespace slacker::nfs
