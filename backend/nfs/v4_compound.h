// Compounds of NFS version 4 over libnfs.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/nfs/call.h"
#include "backend/nfs/libnfs.h"
#include "backend/nfs/protocol.h"

namespace slacker::nfs::v4 {

// Numbers of attributes that we ask for (RFC 7530, 5.6).
inline constexpr uint32_t kType = 1;
inline constexpr uint32_t kSize = 4;
inline constexpr uint32_t kReadError = 11;
inline constexpr uint32_t kFileId = 20;
inline constexpr uint32_t kMaxRead = 30;
inline constexpr uint32_t kMaxWrite = 31;
inline constexpr uint32_t kMode = 33;
inline constexpr uint32_t kLinks = 35;
inline constexpr uint32_t kModified = 53;

struct DecodedAttributes {
  Attributes attributes;
  uint64_t max_read = 0;
  uint64_t max_write = 0;
};
// False when the server sent what was not asked for, or less than it says.
bool DecodeAttributes(const fattr4& wire, DecodedAttributes* decoded);

// The operations of one compound. What they point to outlives it.
class Operations {
 public:
  void PutRoot() { Add(OP_PUTROOTFH); }
  void Put(const Handle& handle);
  void Save() { Add(OP_SAVEFH); }
  void GetHandle() { Add(OP_GETFH); }
  void Lookup(const std::string& name);
  void GetAttributes(const std::vector<uint32_t>& numbers);
  nfs_argop4& Add(nfs_opnum4 operation);
  // A bitmap that lives as long as this.
  bitmap4 Bitmap(const std::vector<uint32_t>& numbers);
  // Attributes with nothing but a mode, which `mode` holds in the protocol's byte order.
  fattr4 ModeAttributes(uint32_t* mode);
  std::vector<nfs_argop4>& all() { return operations_; }

 private:
  std::vector<nfs_argop4> operations_;
  std::vector<std::vector<uint32_t>> bitmaps_;
};

component4 WireName(std::string_view name);

// The answers to a compound that succeeded.
class Results {
 public:
  explicit Results(const COMPOUND4res& reply) : reply_(reply) {}
  // The answer to the operation at `index`; null when there is none or it is another one's.
  const nfs_resop4* At(size_t index, nfs_opnum4 operation) const;
  bool TakeHandle(size_t index, Handle* handle) const;
  bool TakeAttributes(size_t index, DecodedAttributes* decoded) const;

 private:
  const COMPOUND4res& reply_;
};

// `build` says what is asked, again for each attempt; `take` looks at the answers and returns false
// when they are against the protocol.
Call MakeCall(const char* name, std::chrono::nanoseconds patience,
              std::function<void(Operations*)> build, std::function<bool(const Results&)> take,
              std::function<void(const absl::Status&, bool resent)> done);

// The same for what hands a result on.
template <class Out>
Call MakeCall(const char* name, std::chrono::nanoseconds patience,
              std::function<void(Operations*)> build,
              std::function<bool(const Results&, Out*)> take, Done<Out> done) {
  auto out = std::make_shared<Out>();
  return MakeCall(
      name, patience, std::move(build),
      [out, take = std::move(take)](const Results& results) { return take(results, out.get()); },
      [out, done = std::move(done)](const absl::Status& status, bool /*resent*/) {
        if (status.ok()) {
          done(std::move(*out));
        } else {
          done(status);
        }
      });
}

}  // namespace slacker::nfs::v4
