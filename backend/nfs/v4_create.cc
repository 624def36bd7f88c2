#include "backend/nfs/v4_create.h"

#include <arpa/inet.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "backend/base/random.h"
#include "backend/base/status.h"
#include "backend/nfs/v4_compound.h"

namespace slacker::nfs {

using v4::MakeCall;
using v4::Operations;
using v4::Results;
using v4::WireName;

// One CreateFile. Its open owner is used for nothing else, so that its sequence is known: 0 for
// OPEN, then OPEN_CONFIRM if the server wants it, then CLOSE.
struct V4FileMaker::Opening {
  Handle directory;
  std::string name;
  Done<Node> done;
  uint64_t client = 0;
  uint64_t owner = 0;
  bool second_attempt = false;
  // What OPEN answered.
  Node node;
  stateid4 state{};
  bool confirm = false;
  uint32_t sequence = 0;
};

void V4FileMaker::WithClient(Done<uint64_t> done) {
  if (client_ != 0) {
    done(client_);
    return;
  }
  want_client_.push_back(std::move(done));
  if (want_client_.size() > 1) return;
  // Random digits tell this client from all others, and from itself before a restart.
  if (client_name_.empty()) client_name_ = "slacker-" + RandomHex();
  struct Answer {
    uint64_t client = 0;
    std::string verifier;
  };
  channel_->Start(MakeCall<Answer>(
      "SETCLIENTID", patience_.writing,
      [name = client_name_](Operations* operations) {
        SETCLIENTID4args& args = operations->Add(OP_SETCLIENTID).nfs_argop4_u.opsetclientid;
        std::memcpy(args.client.verifier, name.data() + name.size() - sizeof args.client.verifier,
                    sizeof args.client.verifier);
        args.client.id = {static_cast<u_int>(name.size()), const_cast<char*>(name.data())};
        // No callbacks: the server delegates nothing.
        static char network[] = "tcp";
        static char address[] = "0.0.0.0.0.0";
        args.callback.cb_location = {network, address};
      },
      [](const Results& results, Answer* answer) {
        const nfs_resop4* result = results.At(0, OP_SETCLIENTID);
        if (result == nullptr) return false;
        const SETCLIENTID4resok& ok = result->nfs_resop4_u.opsetclientid.SETCLIENTID4res_u.resok4;
        answer->client = ok.clientid;
        answer->verifier.assign(ok.setclientid_confirm, sizeof ok.setclientid_confirm);
        return true;
      },
      Done<Answer>([this](const absl::StatusOr<Answer>& answer) {
        if (answer.ok()) {
          ConfirmClient(answer->client, answer->verifier);
        } else {
          FinishClient(answer.status());
        }
      })));
}

void V4FileMaker::ConfirmClient(uint64_t client, const std::string& verifier) {
  channel_->Start(MakeCall(
      "SETCLIENTID_CONFIRM", patience_.writing,
      [client, verifier](Operations* operations) {
        auto& args = operations->Add(OP_SETCLIENTID_CONFIRM).nfs_argop4_u.opsetclientid_confirm;
        args.clientid = client;
        std::memcpy(args.setclientid_confirm, verifier.data(), sizeof args.setclientid_confirm);
      },
      [](const Results& /*results*/) { return true; },
      [this, client](const absl::Status& status, bool /*resent*/) {
        if (status.ok()) {
          FinishClient(client);
        } else {
          FinishClient(status);
        }
      }));
}

void V4FileMaker::FinishClient(const absl::StatusOr<uint64_t>& client) {
  if (client.ok()) client_ = *client;
  for (auto& done : std::exchange(want_client_, {})) done(client);
}

void V4FileMaker::CreateFile(const Handle& directory, const std::string& name, Done<Node> done) {
  auto opening = std::make_shared<Opening>();
  opening->directory = directory;
  opening->name = name;
  opening->done = std::move(done);
  OpenFile(opening);
}

void V4FileMaker::OpenFile(const std::shared_ptr<Opening>& opening) {
  WithClient([this, opening](const absl::StatusOr<uint64_t>& client) {
    if (!client.ok()) {
      opening->done(client.status());
      return;
    }
    opening->client = *client;
    opening->owner = ++owners_;
    channel_->Start(MakeCall(
        "OPEN", patience_.writing,
        [opening, mode = htonl(0644)](Operations* operations) mutable {
          operations->Put(opening->directory);
          OPEN4args& args = operations->Add(OP_OPEN).nfs_argop4_u.opopen;
          args.share_access = OPEN4_SHARE_ACCESS_WRITE;
          args.owner.clientid = opening->client;
          args.owner.owner = {sizeof opening->owner, reinterpret_cast<char*>(&opening->owner)};
          args.openhow.opentype = OPEN4_CREATE;
          args.openhow.openflag4_u.how.mode = UNCHECKED4;
          args.openhow.openflag4_u.how.createhow4_u.createattrs = operations->ModeAttributes(&mode);
          args.claim.claim = CLAIM_NULL;
          args.claim.open_claim4_u.file = WireName(opening->name);
          operations->GetHandle();
          operations->GetAttributes({v4::kType, v4::kSize, v4::kFileId, v4::kLinks});
        },
        [opening](const Results& results) {
          const nfs_resop4* result = results.At(1, OP_OPEN);
          v4::DecodedAttributes decoded;
          if (result == nullptr || !results.TakeHandle(2, &opening->node.handle) ||
              !results.TakeAttributes(3, &decoded)) {
            return false;
          }
          const OPEN4resok& ok = result->nfs_resop4_u.opopen.OPEN4res_u.resok4;
          opening->node.attributes = decoded.attributes;
          opening->state = ok.stateid;
          opening->confirm = (ok.rflags & OPEN4_RESULT_CONFIRM) != 0;
          return true;
        },
        [this, opening](const absl::Status& status, bool /*resent*/) {
          if (status.ok()) {
            ConfirmOpen(opening);
          } else if (ErrnoOf(status) == EKEYEXPIRED && !opening->second_attempt) {
            // Idle for longer than the lease, or the server was restarted.
            if (client_ == opening->client) client_ = 0;
            opening->second_attempt = true;
            OpenFile(opening);
          } else {
            opening->done(status);
          }
        }));
  });
}

void V4FileMaker::ConfirmOpen(const std::shared_ptr<Opening>& opening) {
  if (!opening->confirm) {
    CloseFile(opening);
    return;
  }
  opening->sequence = 1;
  channel_->Start(MakeCall(
      "OPEN_CONFIRM", patience_.writing,
      [opening](Operations* operations) {
        operations->Put(opening->node.handle);
        operations->Add(OP_OPEN_CONFIRM).nfs_argop4_u.opopen_confirm = {opening->state,
                                                                        opening->sequence};
      },
      [opening](const Results& results) {
        const nfs_resop4* result = results.At(1, OP_OPEN_CONFIRM);
        if (result == nullptr) return false;
        opening->state = result->nfs_resop4_u.opopen_confirm.OPEN_CONFIRM4res_u.resok4.open_stateid;
        return true;
      },
      // The file is there either way; an open that stays goes with the client's lease.
      [this, opening](const absl::Status& /*status*/, bool /*resent*/) { CloseFile(opening); }));
}

void V4FileMaker::CloseFile(const std::shared_ptr<Opening>& opening) {
  ++opening->sequence;
  channel_->Start(MakeCall(
      "CLOSE", patience_.writing,
      [opening](Operations* operations) {
        operations->Put(opening->node.handle);
        operations->Add(OP_CLOSE).nfs_argop4_u.opclose = {opening->sequence, opening->state};
      },
      [](const Results& /*results*/) { return true; },
      [](const absl::Status& /*status*/, bool /*resent*/) {}));
  opening->done(opening->node);
}

}  // namespace slacker::nfs
