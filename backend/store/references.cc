#include "backend/store/references.h"

#include <utility>

#include "backend/base/codec.h"
#include "backend/base/failpoint.h"
#include "backend/base/random.h"
#include "backend/base/status.h"
#include "backend/store/names.h"

namespace slacker {
namespace {

constexpr std::string_view kMagic = "SLKI";
constexpr uint32_t kVersion = 1;
constexpr size_t kDigestBytes = sizeof(Digest::bytes);
constexpr uint64_t kStepBytes = 4 << 20;

absl::Status DecodeSet(Decoder& in, std::set<Digest>* digests) {
  const uint32_t count = in.U32();
  if (!in.ok() || count > in.remaining() / kDigestBytes) return DataLoss("wrong number of digests");
  for (uint32_t i = 0; i < count; ++i) {
    const Digest digest = in.Hash();
    if (!digests->empty() && *digests->rbegin() >= digest) return DataLoss("not sorted");
    digests->insert(digests->end(), digest);
  }
  return absl::OkStatus();
}

absl::Status Gone(const std::string& name) {
  return Unavailable("maintenance of the store is removing " + name + ", try again");
}

}  // namespace

std::string EncodeReferences(const StoreReferences& references) {
  std::string bytes;
  Encoder out(&bytes);
  out.Raw(kMagic);
  out.U32(kVersion);
  for (const auto* digests : {&references.chains, &references.records, &references.packs}) {
    out.U32(static_cast<uint32_t>(digests->size()));
    for (const Digest& digest : *digests) out.Hash(digest);
  }
  out.Hash(Sha256::Of(bytes));
  return bytes;
}

absl::StatusOr<StoreReferences> DecodeReferences(std::string_view bytes) {
  if (bytes.size() < kDigestBytes) return DataLoss("truncated");
  const std::string_view content = bytes.substr(0, bytes.size() - kDigestBytes);
  if (Sha256::Of(content) != Decoder(bytes.substr(content.size())).Hash()) {
    return DataLoss("damaged");
  }
  Decoder in(content);
  if (in.Raw(kMagic.size()) != kMagic) return DataLoss("wrong magic");
  if (const uint32_t version = in.U32(); version != kVersion) {
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

absl::Status Intent::Declare(const StoreReferences& more) {
  const size_t before = declared_.chains.size() + declared_.records.size() + declared_.packs.size();
  declared_.chains.insert(more.chains.begin(), more.chains.end());
  declared_.records.insert(more.records.begin(), more.records.end());
  declared_.packs.insert(more.packs.begin(), more.packs.end());
  const size_t after = declared_.chains.size() + declared_.records.size() + declared_.packs.size();
  if (after == before) return absl::OkStatus();
  RETURN_IF_ERROR(backend_->Replace(name_, EncodeReferences(declared_)));
  written_ = true;
  SLACKER_FAILPOINT("intent.declared");
  return absl::OkStatus();
}

absl::Status Intent::CheckPacks() {
  ASSIGN_OR_RETURN(const auto names, backend_->List(kTrashPrefix));
  const std::set<std::string> trash(names.begin(), names.end());
  for (const Digest& pack : declared_.packs) {
    const std::string name = PackName(pack);
    if (trash.contains(TrashName(name))) return Gone(name);
    const absl::Status there = backend_->Stat(name).status();
    if (absl::IsNotFound(there)) return Gone(name);
    RETURN_IF_ERROR(there);
  }
  SLACKER_FAILPOINT("intent.checked");
  return absl::OkStatus();
}

absl::Status Intent::Check() {
  RETURN_IF_ERROR(CheckPacks());
  for (const Digest& record : declared_.records) {
    for (const std::string& name : {RecordName(record), TarName(record), LocationsName(record)}) {
      absl::Status there = backend_->Stat(name).status();
      if (absl::IsNotFound(there)) there = RestoreFromTrash(*backend_, name);
      if (absl::IsNotFound(there)) return Gone(name);
      RETURN_IF_ERROR(there);
    }
  }
  return absl::OkStatus();
}

void Intent::Clear() {
  if (written_) (void)backend_->Remove(name_);  // maintenance does it after a day
  written_ = false;
}

absl::Status ReplaceDespiteTrash(Backend& backend, const std::string& name,
                                 std::string_view content) {
  const std::string copy = TrashName(name);
  const absl::Status condemned = backend.Stat(copy).status();
  if (condemned.ok()) RETURN_IF_ERROR(backend.Replace(copy, content));
  if (!condemned.ok() && !absl::IsNotFound(condemned)) return condemned;
  return backend.Replace(name, content);
}

absl::Status CopyObject(Backend& backend, const std::string& from, const std::string& to) {
  ASSIGN_OR_RETURN(const auto writer, backend.Create(to));
  for (uint64_t at = 0;; at += kStepBytes) {
    ASSIGN_OR_RETURN(const std::string bytes, backend.Read(from, at, kStepBytes));
    RETURN_IF_ERROR(writer->Append(bytes));
    if (bytes.size() < kStepBytes) return writer->Commit();
  }
}

absl::Status RestoreFromTrash(Backend& backend, const std::string& name) {
  return CopyObject(backend, TrashName(name), name);
}

}  // namespace slacker
