#include "backend/publish/request_claim.h"

#include <unistd.h>

#include <utility>

#include "backend/base/random.h"
#include "backend/base/start_thread.h"
#include "backend/base/status.h"
#include "backend/store/requests.h"

namespace slacker {
namespace {

constexpr std::chrono::milliseconds kSlice{100};

int64_t WallSeconds(const Clock& clock) { return clock.WallNanos() / 1'000'000'000; }

std::string NewClaim(const std::string& claimant, const Clock& clock) {
  return EncodeRequestClaim(
      {.claimant = claimant,
       .until_unix_seconds = WallSeconds(clock) + RequestClaimHolder::kClaimSeconds});
}

bool IsInForce(const RequestClaim& claim, const Clock& clock) {
  const int64_t now = WallSeconds(clock);
  return claim.until_unix_seconds > now && claim.until_unix_seconds <= now + kMaxClaimSeconds;
}

// DATA_LOSS: it is no claim.
absl::StatusOr<RequestClaim> ReadClaim(Backend& backend, const std::string& name) {
  const absl::StatusOr<std::string> bytes = backend.ReadWhole(name, kMaxRequestBytes);
  if (absl::IsResourceExhausted(bytes.status())) return DataLoss("too large for a claim");
  RETURN_IF_ERROR(bytes.status());
  return DecodeRequestClaim(*bytes);
}

// Frees the name of a claim that was looked at and counts for nothing. Others may have done that meanwhile, and one
// of them have it by now: so it is moved first, to where a claim on no request would be, and then looked at.
// False: somebody has it, and has it back.
absl::StatusOr<bool> TakeAway(Backend& backend, const std::string& name, const Clock& clock) {
  const std::string place = RequestClaimName("requests/" + RandomHex());
  const absl::Status moved = backend.Move(name, place);
  if (absl::IsNotFound(moved)) return true;
  RETURN_IF_ERROR(moved);
  const absl::StatusOr<RequestClaim> claim = ReadClaim(backend, place);
  if (!claim.ok() && !absl::IsDataLoss(claim.status())) return claim.status();
  const bool counts = claim.ok() && IsInForce(*claim, clock);
  if (counts) RETURN_IF_ERROR(backend.Put(name, EncodeRequestClaim(*claim)));
  RETURN_IF_ERROR(backend.Remove(place));
  return !counts;
}

}  // namespace

std::string ClaimantName() {
  char host[65] = {};
  if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';  // the rest tells enough
  return std::string(host) + "/" + std::to_string(getpid()) + "/" + RandomHex();
}

RequestClaimHolder::RequestClaimHolder(std::shared_ptr<Backend> backend, std::string name,
                                       std::string claimant, const Clock* clock)
    : backend_(std::move(backend)),
      name_(std::move(name)),
      claimant_(std::move(claimant)),
      clock_(clock),
      renewed_(clock->Monotonic()) {}

RequestClaimHolder::~RequestClaimHolder() { EndThread(); }

absl::StatusOr<std::unique_ptr<RequestClaimHolder>> RequestClaimHolder::Take(
    std::shared_ptr<Backend> backend, const std::string& request_name, const std::string& claimant,
    const Clock* clock) {
  const std::string name = RequestClaimName(request_name);
  // An object that is there is left alone by Put: of several who find none, one is first.
  for (int attempt = 0; attempt < 2; ++attempt) {
    RETURN_IF_ERROR(backend->Put(name, NewClaim(claimant, *clock)));
    const absl::StatusOr<RequestClaim> claim = ReadClaim(*backend, name);
    if (absl::IsNotFound(claim.status())) continue;  // just released
    if (!claim.ok() && !absl::IsDataLoss(claim.status())) return claim.status();
    if (claim.ok() && claim->claimant == claimant) {
      std::unique_ptr<RequestClaimHolder> holder(
          new RequestClaimHolder(std::move(backend), name, claimant, clock));
      auto thread = StartThread([raw = holder.get()] { raw->Run(); });
      if (!thread.ok()) {
        (void)holder->Release();  // what stays is soon over
        return thread.status();
      }
      holder->thread_ = *std::move(thread);
      return holder;
    }
    if (claim.ok() && IsInForce(*claim, *clock)) return nullptr;
    // Of one who died, or nothing that was ever a claim.
    ASSIGN_OR_RETURN(const bool freed, TakeAway(*backend, name, *clock));
    if (!freed) return nullptr;
  }
  return nullptr;
}

void RequestClaimHolder::Run() {
  for (;;) {
    {
      MutexLock lock(&mutex_);
      while (!ended_ && clock_->Monotonic() - renewed_ < std::chrono::seconds(kRenewSeconds)) {
        (void)changed_.WaitFor(&mutex_, kSlice);  // the loop looks at the clock itself
      }
      if (ended_) return;
    }
    renewed_ = clock_->Monotonic();
    if (!Renew()) return;
  }
}

bool RequestClaimHolder::Renew() {
  const absl::StatusOr<bool> ours = IsOurs();
  if (!ours.ok()) return true;  // next time: see the header
  if (!*ours) return false;
  (void)backend_->Replace(name_, NewClaim(claimant_, *clock_));
  return true;
}

absl::StatusOr<bool> RequestClaimHolder::IsOurs() {
  const absl::StatusOr<RequestClaim> claim = ReadClaim(*backend_, name_);
  if (absl::IsNotFound(claim.status()) || absl::IsDataLoss(claim.status())) return false;
  RETURN_IF_ERROR(claim.status());
  return claim->claimant == claimant_;
}

absl::Status RequestClaimHolder::Release() {
  EndThread();
  ASSIGN_OR_RETURN(const bool ours, IsOurs());
  return ours ? backend_->Remove(name_) : absl::OkStatus();
}

void RequestClaimHolder::EndThread() {
  {
    MutexLock lock(&mutex_);
    ended_ = true;
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace slacker
