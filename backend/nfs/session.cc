#include "backend/nfs/session.h"

#include <cerrno>

#include "backend/base/status.h"
#include "backend/nfs/libnfs_guard.h"
#include "backend/nfs/protocols.h"

namespace slacker::nfs {

absl::StatusOr<std::unique_ptr<Session>> Session::Open(const NfsTarget& target,
                                                       const Patience& patience) {
  RETURN_IF_ERROR(CheckGuard());
  auto session = std::unique_ptr<Session>(new Session);
  ASSIGN_OR_RETURN(session->loop_, EventLoop::Start("nfs-store"));
  ASSIGN_OR_RETURN(session->resolver_, ThreadPool::Make("nfs-resolver", 1));
  EventLoop* const loop = session->loop_.get();
  ThreadPool* const resolver = session->resolver_.get();
  if (target.version == 4) {
    session->protocol_ = NewV4Protocol(loop, resolver, target, patience);
  } else {
    session->protocol_ = NewV3Protocol(loop, resolver, target, patience);
  }
  session->tree_ = std::make_unique<NameTree>(session->protocol_.get(), target.path);
  return session;
}

Session::~Session() { Close(); }

void Session::Close() {
  if (protocol_ != nullptr) Post([this] { protocol_->Close(); });
}

Session::Verdict Session::AwaitOnce(std::function<void(DoneOnce)> start) {
  auto promise = std::make_shared<std::promise<Verdict>>();
  auto future = promise->get_future();
  Post([start = std::move(start), promise] {
    start([promise](absl::Status status, bool resent) {
      promise->set_value({std::move(status), resent});
    });
  });
  return future.get();
}

absl::StatusOr<Found> Session::Find(const std::string& name) {
  auto find = [this, &name] {
    return Await<Found>([this, name](Done<Found> done) { tree_->Find(name, std::move(done)); });
  };
  absl::StatusOr<Found> found = find();
  // The tree has begun a new life by now.
  if (ErrnoOf(found.status()) == ESTALE) found = find();
  return found;
}

absl::StatusOr<Found> Session::MakeDirectory(const std::string& name) {
  absl::StatusOr<Found> found = Find(name);
  if (found.ok() && found->node.attributes.type != FileType::kDirectory) {
    return ErrnoError(ENOTDIR, name);
  }
  if (found.ok() || name.empty() || ErrnoOf(found.status()) != ENOENT) return found;
  const auto [directory, base] = SplitName(name);
  ASSIGN_OR_RETURN(const Found above, MakeDirectory(directory));
  const Verdict made = AwaitOnce([&, base = base](DoneOnce done) {
    protocol_->MakeDirectory(above.node.handle, base, std::move(done));
  });
  if (!made.status.ok() && ErrnoOf(made.status) != EEXIST) return made.status;
  Forget(name);
  return Find(name);
}

absl::Status Session::MakeRoot() {
  return AwaitOnce([this](DoneOnce done) {
           tree_->MakeRoot(
               [done = std::move(done)](absl::Status status) { done(std::move(status), false); });
         })
      .status;
}

void Session::Forget(const std::string& name) {
  // In order: what is asked later sees it.
  Post([this, name] { tree_->Forget(name); });
}

std::pair<std::string, std::string> SplitName(std::string_view name) {
  const size_t slash = name.rfind('/');
  if (slash == std::string_view::npos) return {"", std::string(name)};
  return {std::string(name.substr(0, slash)), std::string(name.substr(slash + 1))};
}

bool IsMissing(const absl::Status& status) {
  return ErrnoOf(status) == ENOENT || ErrnoOf(status) == ENOTDIR;
}

absl::Status ObjectError(const absl::Status& status, std::string_view name) {
  return IsMissing(status) ? NotFound("no object " + std::string(name)) : status;
}

}  // namespace slacker::nfs
