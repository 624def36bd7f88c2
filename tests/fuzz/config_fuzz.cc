// slackerd's configuration file: what is refused changes nothing, what is accepted is sound.
#include <cstdint>
#include <string_view>

#include "backend/base/check.h"
#include "cmd/slackerd/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  slacker::Config config;
  const absl::Status applied = slacker::ApplyToml(text, "config.toml", &config);
  if (!applied.ok()) {
    SLACKER_CHECK(applied.code() == absl::StatusCode::kInvalidArgument, "nothing else");
    SLACKER_CHECK(applied.message().find("config.toml:") == 0, "file and line come first");
    SLACKER_CHECK(config == slacker::Config(), "a refused file changes nothing");
    return 0;
  }
  SLACKER_CHECK(slacker::CheckAddress(config.address).ok(), "address");
  SLACKER_CHECK(slacker::CheckPath(config.root).ok(), "root");
  SLACKER_CHECK(slacker::CheckPath(config.run_dir).ok(), "run_dir");
  SLACKER_CHECK(slacker::CheckLogLevel(config.log_level).ok(), "log_level");
  SLACKER_CHECK(slacker::CheckStoreUrl(config.store_url).ok(), "store.url");
  SLACKER_CHECK(config.store_budget_ms >= slacker::kMinBudgetMs &&
                    config.store_budget_ms <= slacker::kMaxBudgetMs,
                "store.budget_ms");
  return 0;
}
