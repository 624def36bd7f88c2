#include "cmd/slackerctl/mount/image_process.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include "backend/base/codec.h"
#include "backend/base/status.h"
#include "backend/os/mount.h"

namespace slacker::ctl {
namespace {

constexpr int kCannotStart = 125;  // as shells and container tools have it
constexpr int kNotFound = 127;
constexpr int kOfSignal = 128;
// What a container on its machine's network has from there: how this machine and others are called, and
// whom to ask for more.
constexpr std::array<const char*, 3> kNames = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"};

// What the process is told to do.
struct Orders {
  std::string image, scratch;
  ImageCommand command;
};

void EncodeTexts(const std::vector<std::string>& texts, Encoder* out) {
  out->Varint(texts.size());
  for (const std::string& text : texts) out->Bytes(text);
}

std::vector<std::string> DecodeTexts(Decoder* in) {
  std::vector<std::string> texts;
  for (uint64_t left = in->Varint(); left > 0 && in->ok(); --left) texts.emplace_back(in->Bytes());
  return texts;
}

std::string Encode(const Orders& orders) {
  std::string bytes;
  Encoder out(&bytes);
  out.Bytes(orders.image);
  out.Bytes(orders.scratch);
  EncodeTexts(orders.command.arguments, &out);
  EncodeTexts(orders.command.environment, &out);
  out.Bytes(orders.command.working_directory);
  return bytes;
}

Orders Decode(std::string_view bytes) {
  Decoder in(bytes);
  Orders orders;
  orders.image = in.Bytes();
  orders.scratch = in.Bytes();
  orders.command.arguments = DecodeTexts(&in);
  orders.command.environment = DecodeTexts(&in);
  orders.command.working_directory = in.Bytes();
  return orders;
}

absl::Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoError(errno, "write");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// From here on we are the child, alone, and nobody but standard error can be told anything.
[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "slackerctl: %s: %s\n", what.c_str(), std::strerror(errno));
  _exit(kCannotStart);
}

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "slackerctl: %s\n", Message(status).c_str());
  _exit(kCannotStart);
}

void MustMake(const std::string& directory) {
  if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) Die("mkdir " + directory);
}

// The image as the root of a writable tree; returns its path.
std::string MountRoot(const Orders& orders) {
  Must(MakeMountsPrivate());
  Must(MountNodev("tmpfs", orders.scratch, ""));
  for (const char* name : {"/upper", "/work", "/root"}) MustMake(orders.scratch + name);
  std::string root = orders.scratch + "/root";
  Must(MountNodev("overlay", root,
                  "lowerdir=" + orders.image + ",upperdir=" + orders.scratch +
                      "/upper,workdir=" + orders.scratch + "/work"));
  for (const char* name : {"/proc", "/dev", "/tmp"}) MustMake(root + name);
  Must(BindMount("/dev", root + "/dev"));
  return root;
}

// Of a file that is not there nothing.
std::string TextOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// In the image, whose root is ours by now, so that none of its links leads out of it.
void GiveNames(const std::array<std::string, kNames.size()>& texts) {
  MustMake("/etc");
  for (size_t number = 0; number < kNames.size(); ++number) {
    const std::string& text = texts.at(number);
    const char* const path = kNames.at(number);
    if (text.empty()) continue;
    if (unlink(path) != 0 && errno != ENOENT) Die(path);
    const UniqueFd file(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    // Whatever our umask is: others than root read them.
    if (!file.valid() || fchmod(file.get(), 0644) != 0) Die(path);
    Must(WriteAll(file.get(), text));
  }
}

// In the image as well.
std::string HomeOfRoot() {
  std::string home = "/";
  FILE* const users = std::fopen("/etc/passwd", "re");
  if (users == nullptr) return home;
  while (const passwd* user = fgetpwent(users)) {
    if (user->pw_uid != 0) continue;
    home = user->pw_dir;
    break;
  }
  (void)std::fclose(users);  // it was only read
  return home;
}

// containerd looks there which groups a user has, before anything runs.
void Touch(const char* path) {
  const UniqueFd file(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  char byte = 0;
  if (file.valid()) (void)read(file.get(), &byte, 1);  // what counts is that it was asked for
}

// NAME's value; `otherwise`, which is added, if it has none.
std::string ValueOf(const std::string& name, const std::string& otherwise,
                    std::vector<std::string>* environment) {
  const std::string prefix = name + "=";
  for (const std::string& variable : *environment) {
    if (variable.starts_with(prefix)) return variable.substr(prefix.size());
  }
  environment->push_back(prefix + otherwise);
  return otherwise;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void BecomeCommand(Orders orders, const std::string& root) {
  std::array<std::string, kNames.size()> names;
  std::transform(kNames.begin(), kNames.end(), names.begin(), TextOf);
  if (chroot(root.c_str()) != 0 || chdir("/") != 0) Die("chroot");
  GiveNames(names);
  ImageCommand& command = orders.command;
  if (!command.working_directory.empty() && chdir(command.working_directory.c_str()) != 0) {
    Die(command.working_directory);
  }
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
  // What containerd and runc give to every container.
  const std::string path = ValueOf(
      "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", &command.environment);
  (void)ValueOf("HOME", HomeOfRoot(), &command.environment);
  Touch("/etc/group");
  if (setenv("PATH", path.c_str(), 1) != 0) Die("environment");  // execvpe looks there
  if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0) Die("output");
  std::vector<char*> arguments = Pointers(command.arguments);
  std::vector<char*> environment = Pointers(command.environment);
  (void)execvpe(arguments[0], arguments.data(), environment.data());
  std::fprintf(stderr, "slackerctl: %s: %s\n", arguments[0], std::strerror(errno));
  _exit(errno == ENOENT ? kNotFound : kCannotStart);
}

int StatusOf(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : kOfSignal + WTERMSIG(status);
}

// The first process of its namespace, with which all others of it end. It is not the command itself,
// which may become another user: then the kernel would not end it with its parent any more (prctl(2)).
[[noreturn]] void BecomeInit(Orders orders, const std::string& root) {
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  Must(MountNodev("proc", root + "/proc", ""));
  const pid_t command = fork();
  if (command < 0) Die("fork");
  if (command == 0) BecomeCommand(std::move(orders), root);
  while (true) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, 0);
    if (ended == command) _exit(StatusOf(status));
    if (ended < 0 && errno != EINTR) Die("wait");
  }
}

[[noreturn]] void RunChild(const UniqueFd& orders_fd) {
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::string bytes;
  std::array<char, 4096> part;
  for (ssize_t size = 0; (size = read(orders_fd.get(), part.data(), part.size())) != 0;) {
    if (size < 0 && errno != EINTR) Die("read");
    if (size > 0) bytes.append(part.data(), static_cast<size_t>(size));
  }
  Orders orders = Decode(bytes);
  if (orders.command.arguments.empty()) _exit(kCannotStart);  // never started
  if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS) != 0) Die("unshare");
  const std::string root = MountRoot(orders);
  const pid_t init = fork();
  if (init < 0) Die("fork");
  if (init == 0) BecomeInit(std::move(orders), root);
  int status = 0;
  while (waitpid(init, &status, 0) < 0) {
    if (errno != EINTR) Die("wait");
  }
  _exit(StatusOf(status));
}

}  // namespace

absl::StatusOr<ImageProcess> ImageProcess::Fork() {
  std::array<int, 2> ends;
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  UniqueFd out(ends[0]), in(ends[1]);
  const pid_t pid = fork();
  if (pid < 0) return ErrnoError(errno, "fork");
  if (pid == 0) {
    in.Reset();
    RunChild(out);
  }
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) {
    const int error = errno;
    (void)kill(pid, SIGKILL);  // it is our own child
    (void)waitpid(pid, nullptr, 0);
    return ErrnoError(error, "pidfd_open");
  }
  return ImageProcess(pid, std::move(pidfd), std::move(in));
}

ImageProcess::ImageProcess(ImageProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      go_(std::move(other.go_)) {}

ImageProcess::~ImageProcess() { Kill(); }

absl::Status ImageProcess::Start(const std::string& image, const std::string& scratch,
                                 const ImageCommand& command) {
  const absl::Status told = WriteAll(go_.get(), Encode({image, scratch, command}));
  go_.Reset();
  return Annotate(told, "tell the process what to run");
}

absl::StatusOr<int> ImageProcess::Wait(int milliseconds, int interrupts) {
  std::array<pollfd, 2> waits{{{pidfd_.get(), POLLIN, 0}, {interrupts, POLLIN, 0}}};
  const int ready = poll(waits.data(), waits.size(), milliseconds);
  if (ready < 0 && errno != EINTR) return ErrnoError(errno, "poll");
  if (ready > 0 && waits[1].revents != 0) return Cancelled("interrupted");
  if (ready <= 0 || waits[0].revents == 0) return DeadlineExceeded("it still runs");
  int status = 0;
  if (waitpid(pid_, &status, 0) < 0) return ErrnoError(errno, "wait");
  pid_ = -1;
  return StatusOf(status);
}

void ImageProcess::Kill() {
  if (pid_ < 0) return;
  (void)kill(pid_, SIGKILL);  // what it has started dies with it
  (void)waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

}  // namespace slacker::ctl
