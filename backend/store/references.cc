#include "backend/store/references.h"

#include <algorithm>
#include <utility>

#include "backend/base/clock.h"
#include "backend/base/codec.h"
#include "backend/base/failpoint.h"
#include "backend/base/random.h"
#include "backend/base/status.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

constexpr std::string_view kReferencesMagic = "SLKI";
constexpr uint32_t kReferencesVersion = 1;
constexpr size_t kReferencesDigestBytes = sizeof(Digest::bytes);
constexpr uint64_t kStepBytes = 4 << 20;
// Maintenance believes an intent for a day.
constexpr int64_t kRenewNanos = 12LL * 3600 * 1'000'000'000;

absl::Status DecodeSet(Decoder& in, std::set<Digest>* digests) {
  const uint32_t count = in.U32();
  if (!in.ok() || count > in.remaining() / kReferencesDigestBytes)
    return DataLoss("wrong number of digests");
  for (uint32_t i = 0; i < count; ++i) {
    const Digest digest = in.Hash();
    if (!digests->empty() && *digests->rbegin() >= digest) return DataLoss("not sorted");
    digests->insert(digests->end(), digest);
  }
  return absl::OkStatus();
}

// Where the object of this name is that was written last; then the one that was removed last.
absl::StatusOr<std::string> LastRemoved(Backend& backend, const std::string& name) {
  ASSIGN_OR_RETURN(const auto names, backend.List(kRemovedPrefix));
  std::string last;
  int64_t last_written = 0;
  for (const std::string& removed : names) {  // sorted by the times of their removal
    if (ParseFlatName(removed).object != name) continue;
    const auto info = backend.Stat(removed);
    if (absl::IsNotFound(info.status())) continue;
    RETURN_IF_ERROR(info.status());
    if (!last.empty() && info->modified_unix_seconds < last_written) continue;
    last = removed;
    last_written = info->modified_unix_seconds;
  }
  if (last.empty()) return NotFound("nothing that was removed was " + name);
  return last;
}

absl::Status Gone(const std::string& name) {
  return Aborted("maintenance of the store is removing " + name);
}

}  // namespace

std::string EncodeReferences(const StoreReferences& references) {
  std::string bytes;
  Encoder out(&bytes);
  out.Raw(kReferencesMagic);
  out.U32(kReferencesVersion);
  for (const auto* digests : {&references.chains, &references.records, &references.packs}) {
    out.U32(static_cast<uint32_t>(digests->size()));
    for (const Digest& digest : *digests) out.Hash(digest);
  }
  out.Hash(Sha256::Of(bytes));
  return bytes;
}

absl::StatusOr<StoreReferences> DecodeReferences(std::string_view bytes) {
  if (bytes.size() < kReferencesDigestBytes) return DataLoss("truncated");
  const std::string_view content = bytes.substr(0, bytes.size() - kReferencesDigestBytes);
  if (Sha256::Of(content) != Decoder(bytes.substr(content.size())).Hash()) {
    return DataLoss("damaged");
  }
  Decoder in(content);
  if (in.Raw(kReferencesMagic.size()) != kReferencesMagic) return DataLoss("wrong magic");
  if (const uint32_t version = in.U32(); version != kReferencesVersion) {
    return DataLoss("unknown version " + std::to_string(version));
  }
  StoreReferences references;
  for (auto* digests : {&references.chains, &references.records, &references.packs}) {
    RETURN_IF_ERROR(DecodeSet(in, digests));
  }
  if (!in.done()) return DataLoss("bytes after the last digest");
  return references;
}

std::string LeaseName(std::string_view node) {
  return std::string(kLeasesPrefix) + std::string(node) + "/images";
}

Intent::Intent(Backend* backend)
    : backend_(backend), name_(std::string(kIntentsPrefix) + RandomHex()) {}

Intent::~Intent() {
  if (written_nanos_ != 0) (void)backend_->Remove(name_);  // or maintenance does it after a day
}

bool Intent::Counts() const {
  const int64_t age = SystemClock().WallNanos() - written_nanos_;
  return written_nanos_ != 0 && age >= 0 && age < kRenewNanos;
}

absl::Status Intent::Declare(const StoreReferences& more) {
  const size_t before = declared_.chains.size() + declared_.records.size() + declared_.packs.size();
  declared_.chains.insert(more.chains.begin(), more.chains.end());
  declared_.records.insert(more.records.begin(), more.records.end());
  declared_.packs.insert(more.packs.begin(), more.packs.end());
  const size_t after = declared_.chains.size() + declared_.records.size() + declared_.packs.size();
  const bool counts = Counts();
  if (after == before && counts) return absl::OkStatus();
  if (!counts) checked_.clear();
  const int64_t now = SystemClock().WallNanos();
  // Also when this fails: it may have been carried out.
  written_nanos_ = now;
  RETURN_IF_ERROR(backend_->Replace(name_, EncodeReferences(declared_)));
  SLACKER_FAILPOINT("intent.declared");
  return absl::OkStatus();
}

absl::Status Intent::CheckPacks() {
  gone_.clear();
  if (std::includes(checked_.begin(), checked_.end(), declared_.packs.begin(),
                    declared_.packs.end())) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const auto trash, CondemnedNames(*backend_));
  absl::Status gone;
  for (const Digest& pack : declared_.packs) {
    if (checked_.contains(pack)) continue;
    const std::string name = PackName(pack);
    absl::Status there = backend_->Stat(name).status();
    if (absl::IsNotFound(there) || trash.contains(TrashName(name))) {
      gone_.insert(pack);
      gone.Update(Gone(name));
      continue;
    }
    RETURN_IF_ERROR(there);
    checked_.insert(pack);
  }
  for (const Digest& pack : gone_) declared_.packs.erase(pack);
  SLACKER_FAILPOINT("intent.checked");
  return gone;
}

absl::Status Intent::Check() {
  const std::set<Digest> before = checked_;
  RETURN_IF_ERROR(CheckPacks());
  // Those may be condemned by now, by somebody who sees the declaration; but not gone.
  absl::Status gone;
  for (const Digest& pack : before) {
    const absl::Status there = backend_->Stat(PackName(pack)).status();
    if (!absl::IsNotFound(there)) {
      RETURN_IF_ERROR(there);
      continue;
    }
    gone_.insert(pack);
    checked_.erase(pack);
    declared_.packs.erase(pack);
    gone.Update(Gone(PackName(pack)));
  }
  RETURN_IF_ERROR(gone);
  for (const Digest& record : declared_.records) {
    for (const std::string& name : {RecordName(record), TarName(record), LocationsName(record)}) {
      absl::Status there = backend_->Stat(name).status();
      if (absl::IsNotFound(there)) there = RestoreRemoved(*backend_, name);
      if (absl::IsNotFound(there)) return Gone(name);
      RETURN_IF_ERROR(there);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::flat_hash_set<std::string>> CondemnedNames(Backend& backend) {
  ASSIGN_OR_RETURN(const auto names, backend.List(kTrashPrefix));
  absl::flat_hash_set<std::string> condemned;
  for (const std::string& name : names) condemned.insert(TrashName(ParseFlatName(name).object));
  return condemned;
}

absl::Status RestoreRemoved(Backend& backend, const std::string& name) {
  const absl::Status there = backend.Stat(name).status();
  if (!absl::IsNotFound(there)) return there;
  ASSIGN_OR_RETURN(const std::string removed, LastRemoved(backend, name));
  return CopyObject(backend, removed, name);
}

absl::Status CopyObject(Backend& backend, const std::string& from, const std::string& to) {
  ASSIGN_OR_RETURN(const auto writer, backend.Create(to));
  for (uint64_t at = 0;; at += kStepBytes) {
    ASSIGN_OR_RETURN(const std::string bytes, backend.Read(from, at, kStepBytes));
    RETURN_IF_ERROR(writer->Append(bytes));
    if (bytes.size() < kStepBytes) return writer->Commit();
  }
}

}  // namespace slacker
