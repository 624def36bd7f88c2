// The handles of the store's directories and objects, by name. Loop thread only.
//
// A handle is used for kFresh after its name was looked up; then the name is looked up again before
// the next use. So what another client replaces or removes is noticed after that time at the
// latest; what goes through this tree's own backend at once (Forget). A directory is looked up again
// beside what is looked up in it, not before: the answer counts if the directory is still that one.
// So a directory that was known once costs no round trip. At most kMaxNodes handles are kept, the
// most recently used ones.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "backend/nfs/event_loop.h"
#include "backend/nfs/protocol.h"

namespace slacker::nfs {

// What a name stands for, and in which life of the tree that was found out.
struct Found {
  Node node;
  uint64_t life = 0;
};

class NameTree {
 public:
  static constexpr std::chrono::seconds kFresh{1};
  static constexpr size_t kMaxNodes = 4096;

  // `path`: of the store's root on the server. `protocol` outlives the tree.
  NameTree(Protocol* protocol, std::vector<std::string> path,
           std::chrono::nanoseconds fresh = kFresh)
      : protocol_(protocol), path_(std::move(path)), fresh_(fresh) {}

  // "" is the root. ENOENT or ENOTDIR: no such name. UNAVAILABLE without an errno value: the root
  // itself is missing. Several callers at once share one question.
  void Find(const std::string& name, Done<Found> done);
  // Makes the root, with those of its parents that are missing.
  void MakeRoot(std::function<void(absl::Status)> done);
  // Also what is being asked now: it may be answered with what was there before.
  void Forget(const std::string& name);
  // After ESTALE for something of this `life`: nothing of it is used any more, the root is entered
  // anew. Nothing happens when another caller has said so already.
  void StartNewLife(uint64_t life);
  // As the server allows; known once the root has been found.
  Limits limits() const { return limits_; }

 private:
  struct Entry {
    Found found;
    Time looked_up;
    std::list<std::string>::iterator use;
  };
  // A name that the server is being asked for, and who wants to know.
  struct Question {
    std::string name;
    std::vector<Done<Found>> waiting;
    bool outdated = false;
  };
  using Asked = std::shared_ptr<Question>;
  // A name looked up in a directory that may not be the one of its name any more.
  struct Guess;

  bool IsFresh(const std::string& name, const Entry& entry) const;
  const Found* Cached(const std::string& name);
  void Keep(const std::string& name, const Found& found);
  void Drop(const std::string& name);
  void FindRoot(const Asked& asked, bool create);
  void Descend(const Asked& asked, Node node, std::vector<std::string> rest, bool create,
               uint64_t life);
  void FinishRoot(const Asked& asked, absl::StatusOr<Node> root, uint64_t life);
  void LookUp(const Asked& asked, const absl::StatusOr<Found>& directory);
  void LookUpInAdvance(const Asked& asked, const std::string& directory, const Handle& known);
  void Settle(const Asked& asked, const Guess& guess);
  void OnNode(const Asked& asked, absl::StatusOr<Node> node, uint64_t life);
  void Answer(const Asked& asked, const absl::StatusOr<Found>& found);

  Protocol* const protocol_;
  const std::vector<std::string> path_;
  const std::chrono::nanoseconds fresh_;
  std::unordered_map<std::string, Entry> entries_;
  std::list<std::string> uses_;  // the most recent first
  std::unordered_map<std::string, Asked> asked_;
  uint64_t life_ = 0;
  Limits limits_;
};

}  // namespace slacker::nfs
