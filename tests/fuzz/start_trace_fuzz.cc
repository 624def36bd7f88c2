// Traces of starts: the input as it is, and with the checksum that it needs.
#include <algorithm>
#include <cstdint>
#include <string>

#include "backend/base/codec.h"
#include "backend/base/digest.h"
#include "backend/startup/trace_merge.h"
#include "backend/store/start_trace.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  std::string sound = input;
  slacker::Encoder(&sound).Hash(slacker::Sha256::Of(input));
  // The chain that stands in it.
  slacker::Decoder in(std::string_view(input).substr(std::min<size_t>(size, 8)));
  const slacker::Digest chain = in.Hash();
  slacker::Layer layer;
  layer.chunks.push_back({{}, 0, 65536, 0});
  layer.chunks.push_back({{}, 1, 5, 65536});
  for (const std::string& bytes : {input, sound}) {
    const auto trace = slacker::DecodeTrace(bytes, chain);
    if (!trace.ok()) continue;
    if (slacker::PagesOf(*trace) > slacker::kMaxTracePages) __builtin_trap();
    // What was accepted can be merged, written and used.
    const slacker::StartTrace merged = slacker::MergeTraces(*trace, *trace);
    if (!slacker::EncodeTrace(merged).ok()) __builtin_trap();
    const slacker::Layer* const layers[] = {&layer};
    if (slacker::ChunksOfTrace(merged, layers, 1 << 20).size() > 2) __builtin_trap();
  }
  return 0;
}
