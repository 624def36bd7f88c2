// The protocol between slackerd and slackerd-keeper, version 1. Each meets the other in older and newer
// versions (ADR 0033): packets keep their sizes, verbs their meaning; a version adds verbs. A request
// carries the version that brought its verb, its reply the same. A keeper that does not know the
// version replies EPROTO, with its own.
//
// A SOCK_SEQPACKET Unix socket; every packet is one of the structures below, in native byte order
// (both ends are on one machine). The client sends a request and waits for its reply. A descriptor
// travels as SCM_RIGHTS: with a kPut or kReplace request, with the reply to kGet. A keeper that does
// not know a verb replies ENOSYS.
//
// One client at a time is the owner: the first that sends kAcquire. Everything but kAcquire needs
// ownership (EPERM without). It ends when the owner's connection closes; kAcquire from another
// client also succeeds when the owner is a zombie, is exiting or has a SIGKILL pending, because
// such a process never runs code of its own again, though the kernel may keep it for a while; the
// old connection is then closed.
//
//   verb      name  effect                                         errors (reply.error, an errno)
//   kAcquire  -     the client is the owner; reply.pid is the      EBUSY: somebody is, reply.pid
//                   predecessor if that is still ending, else 0
//   kPut      yes   keeps the descriptor, replacing one of         ENOSPC: kMaxDescriptors are
//                   the name                                       kept; EINVAL: blanks or ':' in
//                                                                  the name
//   kGet      yes   sends a copy of the descriptor                 ENOENT
//   kDrop     yes   closes the keeper's copy; no error if absent
//   kList     -     reply.names: every name, each with its NUL
//   kBye      -     nothing is attached: the keeper closes everything and ends
//   kReplace  -     the descriptor is a keeper's program: unless it  EBADF, those of execve(2): the
//                   is the one that runs, it takes this one's place  keeper goes on as it was
//                   in its process, with all descriptors and
//                   connections; the reply is the new one's
//   kServing  -     the owner has answered a reader
//
// While there is no owner the keeper waits for one, at most its deadline, counted from the end of
// the last owner that has said kServing or lived for 10 seconds (or else from its own start); then it
// closes everything (whereupon the kernel aborts the FUSE connection: its readers get errors) and ends. Clients must
// have the keeper's effective user ID; others are disconnected.
//
// Beside the socket, <socket>.lock is locked by the keeper that listens there. It has kUnitMark in it
// while that is one of a service manager's, which starts it again, with what it has stored, should it
// be killed, or fail: who finds nobody listening then waits before he starts one himself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace slacker::keeper {

#ifndef SLACKER_KEEPER_VERSION  // a test builds a newer one
#define SLACKER_KEEPER_VERSION 1
#endif
inline constexpr uint32_t kVersion = SLACKER_KEEPER_VERSION;
inline constexpr size_t kNameBytes = 32;  // with the final NUL
inline constexpr size_t kMaxDescriptors = 16;
inline constexpr std::string_view kUnitMark = "unit\n";

enum class Verb : uint32_t { kAcquire = 1, kPut, kGet, kDrop, kList, kBye, kReplace, kServing };

// The version that brought a verb.
constexpr uint32_t VersionOf(Verb) { return 1; }

struct Request {
  uint32_t version = 1;
  Verb verb = Verb::kAcquire;
  char name[kNameBytes] = {};
};

struct Reply {
  uint32_t version = 1;
  int32_t error = 0;
  int32_t pid = 0;
  uint32_t names_bytes = 0;
  char names[kMaxDescriptors * kNameBytes] = {};
};

}  // namespace slacker::keeper
