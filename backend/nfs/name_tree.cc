#include "backend/nfs/name_tree.h"

#include <cerrno>
#include <optional>
#include <utility>

#include "backend/base/status.h"
#include "backend/nfs/session.h"

namespace slacker::nfs {

struct NameTree::Guess {
  Handle directory;  // as it was known
  std::optional<absl::StatusOr<Node>> node;
  std::optional<absl::StatusOr<Found>> found;  // the directory, as it is
};

void NameTree::Find(const std::string& name, Done<Found> done) {
  if (const Found* found = Cached(name); found != nullptr) {
    done(*found);
    return;
  }
  Asked& asked = asked_[name];
  if (asked != nullptr) {
    asked->waiting.push_back(std::move(done));
    return;
  }
  asked = std::make_shared<Question>();
  asked->name = name;
  asked->waiting.push_back(std::move(done));
  if (name.empty()) {
    FindRoot(Asked(asked), /*create=*/false);
    return;
  }
  const std::string directory = SplitName(name).first;
  const auto known = entries_.find(directory);
  if (known != entries_.end() && known->second.found.life == life_ &&
      !IsFresh(directory, known->second)) {
    LookUpInAdvance(Asked(asked), directory, Handle(known->second.found.node.handle));
    return;
  }
  Find(directory,
       [this, asked = Asked(asked)](const absl::StatusOr<Found>& found) { LookUp(asked, found); });
}

void NameTree::LookUp(const Asked& asked, const absl::StatusOr<Found>& directory) {
  if (!directory.ok()) {
    Answer(asked, directory.status());
    return;
  }
  if (directory->node.attributes.type != FileType::kDirectory) {
    // No symbolic link leads out of the store, and a file has nothing below it.
    Answer(asked, ErrnoError(ENOTDIR, asked->name));
    return;
  }
  protocol_->Lookup(directory->node.handle, SplitName(asked->name).second,
                    [this, asked, life = directory->life](absl::StatusOr<Node> node) {
                      OnNode(asked, std::move(node), life);
                    });
}

void NameTree::OnNode(const Asked& asked, absl::StatusOr<Node> node, uint64_t life) {
  if (node.ok()) {
    Answer(asked, Found{*std::move(node), life});
    return;
  }
  // A directory of an earlier look that is gone by now.
  if (ErrnoOf(node.status()) == ESTALE) StartNewLife(life);
  Answer(asked, Annotate(node.status(), asked->name));
}

void NameTree::LookUpInAdvance(const Asked& asked, const std::string& directory,
                               const Handle& known) {
  const auto guess = std::make_shared<Guess>();
  guess->directory = known;
  protocol_->Lookup(known, SplitName(asked->name).second,
                    [this, asked, guess](absl::StatusOr<Node> node) {
                      guess->node = std::move(node);
                      Settle(asked, *guess);
                    });
  Find(directory, [this, asked, guess](const absl::StatusOr<Found>& found) {
    guess->found = found;
    Settle(asked, *guess);
  });
}

void NameTree::Settle(const Asked& asked, const Guess& guess) {
  if (!guess.node.has_value() || !guess.found.has_value()) return;
  const absl::StatusOr<Found>& directory = *guess.found;
  if (directory.ok() && directory->node.handle == guess.directory) {
    OnNode(asked, *guess.node, directory->life);
  } else {
    LookUp(asked, directory);
  }
}

void NameTree::Answer(const Asked& asked, const absl::StatusOr<Found>& found) {
  if (!asked->outdated) {
    asked_.erase(asked->name);
    if (found.ok()) Keep(asked->name, *found);
  }
  for (auto& done : std::exchange(asked->waiting, {})) done(found);
}

void NameTree::MakeRoot(std::function<void(absl::Status)> done) {
  auto asked = std::make_shared<Question>();
  asked->outdated = true;  // nobody else asks yet, and none of it is kept
  asked->waiting.push_back(
      [done = std::move(done)](const absl::StatusOr<Found>& found) { done(found.status()); });
  FindRoot(asked, /*create=*/true);
}

void NameTree::FindRoot(const Asked& asked, bool create) {
  protocol_->Enter(path_, [this, asked, create, life = life_](absl::StatusOr<Entrance> entrance) {
    if (!entrance.ok()) {
      FinishRoot(asked, entrance.status(), life);
      return;
    }
    Node node;
    node.handle = std::move(entrance->handle);
    node.attributes.type = FileType::kDirectory;
    Descend(asked, std::move(node), std::move(entrance->rest), create, life);
  });
}

void NameTree::Descend(const Asked& asked, Node node, std::vector<std::string> rest, bool create,
                       uint64_t life) {
  if (node.attributes.type != FileType::kDirectory) {
    FinishRoot(asked, ErrnoError(ENOTDIR, "the store's directory"), life);
    return;
  }
  if (rest.empty()) {
    FinishRoot(asked, std::move(node), life);
    return;
  }
  const std::string name = rest.front();
  const Handle directory = node.handle;
  rest.erase(rest.begin());
  auto look = [this, asked, directory, name, rest, create, life] {
    protocol_->Lookup(directory, name, [=, this](absl::StatusOr<Node> found) {
      if (found.ok()) {
        Descend(asked, *std::move(found), rest, create, life);
      } else {
        FinishRoot(asked, found.status(), life);
      }
    });
  };
  if (!create) {
    look();
    return;
  }
  protocol_->Lookup(directory, name, [=, this](absl::StatusOr<Node> found) {
    if (found.ok() || ErrnoOf(found.status()) != ENOENT) {
      if (found.ok()) Descend(asked, *std::move(found), rest, create, life);
      if (!found.ok()) FinishRoot(asked, found.status(), life);
      return;
    }
    protocol_->MakeDirectory(directory, name, [=, this](const absl::Status& made, bool) {
      // Another publisher may have been faster.
      if (made.ok() || ErrnoOf(made) == EEXIST) look();
      if (!made.ok() && ErrnoOf(made) != EEXIST) FinishRoot(asked, made, life);
    });
  });
}

void NameTree::FinishRoot(const Asked& asked, absl::StatusOr<Node> root, uint64_t life) {
  if (!root.ok()) {
    absl::Status status = root.status();
    if (IsMissing(status) || ErrnoOf(status) == ESTALE) {
      status = Unavailable("the store's directory is missing: " + Message(status));
    }
    Answer(asked, status);
    return;
  }
  const Found found{*std::move(root), life};
  if (limits_.read_bytes != 0) {
    Answer(asked, found);
    return;
  }
  protocol_->GetLimits(found.node.handle,
                       [this, asked, found](const absl::StatusOr<Limits>& limits) {
                         if (!limits.ok()) {
                           Answer(asked, limits.status());
                           return;
                         }
                         limits_ = *limits;
                         Answer(asked, found);
                       });
}

bool NameTree::IsFresh(const std::string& name, const Entry& entry) const {
  // The root has no name in the store; that it is gone shows as ESTALE.
  return name.empty() || std::chrono::steady_clock::now() - entry.looked_up < fresh_;
}

const Found* NameTree::Cached(const std::string& name) {
  const auto it = entries_.find(name);
  if (it == entries_.end()) return nullptr;
  Entry& entry = it->second;
  if (entry.found.life != life_ || !IsFresh(name, entry)) return nullptr;
  uses_.splice(uses_.begin(), uses_, entry.use);
  return &entry.found;
}

void NameTree::Keep(const std::string& name, const Found& found) {
  if (found.life != life_) return;
  Drop(name);
  uses_.push_front(name);
  entries_.emplace(name, Entry{found, std::chrono::steady_clock::now(), uses_.begin()});
  if (entries_.size() > kMaxNodes) Drop(std::string(uses_.back()));
}

void NameTree::Drop(const std::string& name) {
  const auto it = entries_.find(name);
  if (it == entries_.end()) return;
  uses_.erase(it->second.use);
  entries_.erase(it);
}

void NameTree::Forget(const std::string& name) {
  Drop(name);
  auto asked = asked_.extract(name);
  if (!asked.empty()) asked.mapped()->outdated = true;
}

void NameTree::StartNewLife(uint64_t life) {
  if (life != life_) return;
  ++life_;
  entries_.clear();
  uses_.clear();
  for (auto& [name, asked] : asked_) asked->outdated = true;
  asked_.clear();
}

}  // namespace slacker::nfs
