#include "cmd/slackerd-keeper/keeper_state.h"

#include <algorithm>
#include <sstream>

#include "snapshotter/keeper/protocol.h"

namespace slacker::keeper {
namespace {

constexpr std::string_view kFirstLine = "slacker-keeper-state ";

// Our own version, or an older one.
bool IsKnown(std::string_view line) {
  for (uint32_t version = 1; version <= kVersion; ++version) {
    if (line == std::string(kFirstLine) + std::to_string(version)) return true;
  }
  return false;
}

}  // namespace

bool IsUsableName(std::string_view name) {
  return !name.empty() && name.size() < kNameBytes &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return c > ' ' && c <= '~' && c != ':'; });
}

std::string EncodeState(const KeeperState& state) {
  std::ostringstream text;
  text << kFirstLine << kVersion << "\nlistener " << state.listener << "\nlock " << state.lock
       << "\ndeadline " << state.deadline_seconds << ' ' << state.unserved_since_ns << ' '
       << state.owned_since_ns << '\n';
  for (const KeeperState::Client& client : state.clients) {
    text << "client " << client.fd << ' ' << client.pid << ' ' << client.owner << ' '
         << client.asked << '\n';
  }
  for (const KeeperState::Kept& kept : state.kept) {
    text << "kept " << kept.fd << ' ' << kept.name << '\n';
  }
  return text.str();
}

bool DecodeState(const std::string& text, KeeperState* state) {
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line) || !IsKnown(line)) return false;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string kind;
    words >> kind;
    if (kind == "listener") {
      words >> state->listener;
    } else if (kind == "lock") {
      words >> state->lock;
    } else if (kind == "deadline") {
      words >> state->deadline_seconds >> state->unserved_since_ns >> state->owned_since_ns;
    } else if (kind == "client") {
      KeeperState::Client& client = state->clients.emplace_back();
      words >> client.fd >> client.pid >> client.owner >> client.asked;
    } else if (kind == "kept") {
      KeeperState::Kept& kept = state->kept.emplace_back();
      words >> kept.fd >> kept.name;
      if (!IsUsableName(kept.name)) return false;
    } else {
      return false;
    }
    std::string more;
    if (!words || words >> more) return false;
  }
  return state->listener >= 0 && state->lock >= 0;
}

}  // namespace slacker::keeper
