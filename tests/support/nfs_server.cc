#include "tests/support/nfs_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "backend/base/check.h"
#include "backend/base/unique_fd.h"
#include "tests/support/eventually.h"
#include "tests/support/kernel_leak_check.h"
#include "tests/support/oci_image.h"

namespace slacker::testing {
namespace {

constexpr uint16_t kPortmapperPort = 111;

// A child that dies with this process.
pid_t Spawn(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t pid = fork();
  SLACKER_CHECK(pid >= 0, "processes can be made");
  if (pid != 0) return pid;
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {0, 1, 2}) (void)dup2(null, fd);
  (void)execvp(argv[0], argv.data());
  _exit(127);
}

bool Accepts(uint16_t port) {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

void BringUpLoopback() {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", sizeof request.ifr_name - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  SLACKER_CHECK(ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0, "the namespace has a loopback");
}

// Once in a process.
void EnterNamespaces() {
  static const bool entered = [] {
    SLACKER_CHECK(unshare(CLONE_NEWNS | CLONE_NEWNET) == 0, "root, and no thread yet");
    SLACKER_CHECK(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "root");
    // rpcbind's socket, and no other's.
    SLACKER_CHECK(mount("tmpfs", "/run", "tmpfs", 0, "mode=755") == 0, "root");
    std::filesystem::create_directories("/run/rpcbind");
    BringUpLoopback();
    static pid_t portmapper = -1;
    portmapper = Spawn({"rpcbind", "-f"});
    // It changes its user, and so does not die with this process by itself.
    (void)std::atexit([] { (void)kill(portmapper, SIGKILL); });
    SLACKER_CHECK(Eventually([] {
                    return std::filesystem::exists("/run/rpcbind.sock") && Accepts(kPortmapperPort);
                  }),
                  "rpcbind is installed");
    return true;
  }();
  (void)entered;
}

}  // namespace

NfsServer::NfsServer(std::string directory, Options options)
    : directory_(std::move(directory)), export_(directory_ + "/export"), options_(options) {
  EnterNamespaces();
  std::filesystem::create_directories(export_);
  std::filesystem::create_directories(directory_ + "/recovery");
  if (options_.capacity_bytes > 0) {
    const std::string size = "size=" + std::to_string(options_.capacity_bytes);
    SLACKER_CHECK(mount("tmpfs", export_.c_str(), "tmpfs", 0, size.c_str()) == 0, "root");
  }
  Start();
}

NfsServer::~NfsServer() {
  Kill();
  if (options_.capacity_bytes > 0) (void)umount2(export_.c_str(), MNT_DETACH);
}

void NfsServer::Configure(Options options) { options_ = options; }

std::string NfsServer::Url(int version, const std::string& path, const std::string& options) {
  return "nfs://127.0.0.1/store" + path + "?version=" + std::to_string(version) + options;
}

void NfsServer::WriteConfiguration() {
  const std::string most = std::to_string(options_.max_read_bytes);
  const std::string read_sizes =
      options_.max_read_bytes > 0 ? "  MaxRead = " + most + "; PrefRead = " + most + ";\n" : "";
  const std::string text =
      "NFS_CORE_PARAM {\n"
      "  NFS_Port = " +
      std::to_string(kPort) +
      ";\n"
      "  MNT_Port = " +
      std::to_string(kMountPort) +
      ";\n"
      "  Protocols = 3, 4; mount_path_pseudo = true;\n"
      "  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;\n"
      "  Plugins_Dir = \"/usr/lib/x86_64-linux-gnu/ganesha\";\n"
      "}\n"
      "NFSv4 {\n"
      "  Lease_Lifetime = " +
      std::to_string(options_.lease_seconds) +
      ";\n"
      "  Grace_Period = " +
      std::to_string(options_.grace_seconds) +
      ";\n"
      "  RecoveryRoot = \"" +
      directory_ +
      "/recovery\"; RecoveryBackend = fs;\n"
      "  Minor_Versions = 0;\n"
      "}\n"
      "EXPORT {\n"
      "  Export_Id = 1; Path = \"" +
      export_ +
      "\"; Pseudo = /store;\n"
      "  Access_Type = " +
      (options_.read_only ? "RO" : "RW") +
      ";\n"
      "  Squash = " +
      (options_.squash_root ? "Root_Squash" : "No_Root_Squash") +
      ";\n"
      "  SecType = sys; Protocols = 3, 4; Transports = TCP;\n" +
      read_sizes +
      // What is done to the directory beside the server is to be seen.
      "  Attr_Expiration_Time = 0;\n"
      "  FSAL { Name = VFS; }\n"
      "}\n";
  WriteFileOrDie(directory_ + "/ganesha.conf", text);
}

void NfsServer::Start() {
  WriteConfiguration();
  pid_ = Spawn({"ganesha.nfsd", "-F", "-f", directory_ + "/ganesha.conf", "-L",
                directory_ + "/ganesha.log", "-p", directory_ + "/ganesha.pid", "-N", "EVENT"});
  SLACKER_CHECK(Eventually([] { return Accepts(kPort) && Accepts(kMountPort); }),
                "nfs-ganesha is installed");
}

void NfsServer::Kill() {
  if (pid_ < 0) return;
  (void)kill(pid_, SIGKILL);
  (void)waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void NfsServer::Pause() {
  (void)kill(pid_, SIGSTOP);
  (void)waitpid(pid_, nullptr, WUNTRACED);
}

void NfsServer::Resume() { (void)kill(pid_, SIGCONT); }

}  // namespace slacker::testing
