// The NFS backend's reads beside a plain libnfs read loop, on the same nfs-ganesha, in turns.
//
//   nfs_bench [ROUNDS]      (root: the server gets namespaces of its own)
//
// One object of 64 MiB, which the server has in its page cache, is read in blocks at random places
// with so many in flight. Both sides copy what they get into memory of their own and ask for the
// next block when one has arrived. The plain loop decodes by our functions, too (libnfs_guard.h):
// libnfs' own cannot be had in this program. Prints medians over the rounds, with the least and the greatest.
#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <random>
#include <string>
#include <vector>

#include "backend/nfs/libnfs.h"
#include "backend/nfs/libnfs_guard.h"
#include "backend/nfs/nfs_backend.h"
#include "tests/support/nfs_server.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

constexpr uint64_t kObjectBytes = 64 << 20;
constexpr char kObject[] = "packs/object";

struct Load {
  uint64_t block_bytes;
  int in_flight;
  int reads;
};

constexpr Load kLoads[] = {
    {4 << 10, 1, 2000},  {4 << 10, 16, 8000},  {4 << 10, 64, 8000},
    {64 << 10, 1, 1500}, {64 << 10, 16, 4000}, {64 << 10, 64, 4000},
    {1 << 20, 1, 200},   {1 << 20, 16, 400},   {1 << 20, 64, 400},
};

std::vector<uint64_t> Offsets(const Load& load, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<uint64_t> offsets;
  for (int i = 0; i < load.reads; ++i) {
    offsets.push_back(random() % (kObjectBytes / load.block_bytes) * load.block_bytes);
  }
  return offsets;
}

double SecondsOf(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

[[noreturn]] void Die(const std::string& what) {
  (void)std::fprintf(stderr, "nfs_bench: %s\n", what.c_str());
  std::exit(1);
}

// Callbacks come on several threads.
class OurLoop {
 public:
  OurLoop(Backend* backend, const Load& load, std::vector<uint64_t> offsets)
      : backend_(backend), load_(load), offsets_(std::move(offsets)) {}

  void Run() {
    for (int i = 0; i < load_.in_flight; ++i) Next();
    finished_.get_future().wait();
  }

 private:
  void Next() {
    const size_t index = next_++;
    if (index >= offsets_.size()) return;
    backend_->ReadAsync(kObject, offsets_[index], load_.block_bytes, [this](auto bytes) {
      if (!bytes.ok() || bytes->size() != load_.block_bytes) Die(bytes.status().ToString());
      Next();
      if (++done_ == offsets_.size()) finished_.set_value();
    });
  }

  Backend* const backend_;
  const Load load_;
  const std::vector<uint64_t> offsets_;
  std::atomic<size_t> next_ = 0;
  std::atomic<size_t> done_ = 0;
  std::promise<void> finished_;
};

class PlainLoop {
 public:
  PlainLoop() {
    const nfs::Receiving receiving(&received_);
    nfs_ = nfs_init_context();
    if (nfs_mount(nfs_, "127.0.0.1", "/store/store") != 0) Die(nfs_get_error(nfs_));
    if (nfs_open(nfs_, ("/" + std::string(kObject)).c_str(), O_RDONLY, &file_) != 0) {
      Die(nfs_get_error(nfs_));
    }
  }
  ~PlainLoop() {
    const nfs::Receiving receiving(&received_);
    (void)nfs_close(nfs_, file_);
    nfs_destroy_context(nfs_);
  }

  void Run(const Load& load, std::vector<uint64_t> offsets) {
    const nfs::Receiving receiving(&received_);
    load_ = load;
    offsets_ = std::move(offsets);
    next_ = done_ = 0;
    buffer_.resize(load.block_bytes);
    for (int i = 0; i < load.in_flight; ++i) Next();
    while (done_ < offsets_.size()) {
      pollfd ready = {nfs_get_fd(nfs_), static_cast<short>(nfs_which_events(nfs_)), 0};
      if (poll(&ready, 1, -1) < 0 || nfs_service(nfs_, ready.revents) != 0) Die("plain loop");
    }
  }

 private:
  void Next() {
    if (next_ >= offsets_.size()) return;
    if (nfs_pread_async(nfs_, file_, offsets_[next_++], load_.block_bytes, OnRead, this) != 0) {
      Die(nfs_get_error(nfs_));
    }
  }
  static void OnRead(int result, nfs_context* /*nfs*/, void* data, void* cookie) {
    auto* self = static_cast<PlainLoop*>(cookie);
    if (result != static_cast<int>(self->load_.block_bytes)) Die("plain read");
    std::copy_n(static_cast<const char*>(data), result, self->buffer_.data());
    self->received_.Answered();
    ++self->done_;
    self->Next();
  }

  nfs::ReceivedBytes received_;
  nfs_context* nfs_;
  nfsfh* file_ = nullptr;
  Load load_{};
  std::vector<uint64_t> offsets_;
  size_t next_ = 0;
  size_t done_ = 0;
  std::string buffer_;
};

struct Figures {
  std::vector<double> values;
  std::string Text() {
    std::sort(values.begin(), values.end());
    char text[80];
    (void)std::snprintf(text, sizeof text, "%7.1f (%.1f-%.1f)", Median(), values.front(),
                        values.back());
    return text;
  }
  double Median() const { return values[values.size() / 2]; }
};

void Run(int rounds) {
  TempDir directory;
  NfsServer server(directory.path());
  auto backend =
      NfsBackend::Open(ParseNfsUrl(NfsServer::Url(3, "/store")).value(), MissingStore::kCreate)
          .value();
  std::string content(kObjectBytes, '\0');
  std::mt19937_64 random(1);
  for (char& byte : content) byte = static_cast<char>(random());
  if (!backend->Put(kObject, content).ok()) Die("the object cannot be written");
  PlainLoop plain;
  (void)std::printf("| block | in flight | backend, MB/s | plain libnfs, MB/s | ratio, %% |\n");
  (void)std::printf("|---|---|---|---|---|\n");
  for (const Load& load : kLoads) {
    Figures ours, theirs, ratio;
    const double megabytes = static_cast<double>(load.block_bytes) * load.reads / 1e6;
    for (int round = 0; round < rounds; ++round) {
      const std::vector<uint64_t> offsets = Offsets(load, static_cast<unsigned>(round));
      const auto run_ours = [&] {
        OurLoop loop(backend.get(), load, offsets);
        ours.values.push_back(megabytes / SecondsOf([&] { loop.Run(); }));
      };
      const auto run_theirs = [&] {
        theirs.values.push_back(megabytes / SecondsOf([&] { plain.Run(load, offsets); }));
      };
      if (round % 2 == 0) run_ours();
      run_theirs();
      if (round % 2 == 1) run_ours();
      ratio.values.push_back(100 * ours.values.back() / theirs.values.back());
    }
    (void)std::printf("| %llu KiB | %d | %s | %s | %s |\n",
                      static_cast<unsigned long long>(load.block_bytes >> 10), load.in_flight,
                      ours.Text().c_str(), theirs.Text().c_str(), ratio.Text().c_str());
    (void)std::fflush(stdout);
  }
}

}  // namespace
}  // namespace slacker::testing

int main(int argc, char** argv) {
  slacker::testing::Run(argc > 1 ? std::atoi(argv[1]) : 5);
  return 0;
}
