#include "tests/support/nginx_process.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "backend/base/check.h"

extern char** environ;

namespace slacker::testing {
namespace {

constexpr int kPatienceMillis = 30'000;

pid_t Spawn(std::vector<std::string> words, const std::string& log) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  SLACKER_CHECK(error == 0, "nginx and openssl are installed");
  return pid;
}

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

// A socket on a free port that keeps others from it. It does not listen; nginx binds beside it.
UniqueFd ReservePort(int* port) {
  UniqueFd reserved(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;
  (void)setsockopt(reserved.get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  SLACKER_CHECK(
      bind(reserved.get(), plain, size) == 0 && getsockname(reserved.get(), plain, &size) == 0,
      "loopback has a free port");
  *port = ntohs(address.sin_port);
  return reserved;
}

bool Accepts(int port) {
  const UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = Loopback(port);
  return connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

TestCertificates::TestCertificates(std::string directory) : directory_(std::move(directory)) {
  std::filesystem::create_directories(directory_);
  Certify("ca");
  Certify("server");
  Certify("client");
}

void TestCertificates::Certify(const std::string& name) const {
  std::vector<std::string> words = {"openssl",
                                    "req",
                                    "-x509",
                                    "-newkey",
                                    "ec",
                                    "-pkeyopt",
                                    "ec_paramgen_curve:P-256",
                                    "-nodes",
                                    "-days",
                                    "2",
                                    "-subj",
                                    "/CN=" + name,
                                    "-keyout",
                                    directory_ + "/" + name + ".key",
                                    "-out",
                                    directory_ + "/" + name + ".pem"};
  if (name != "ca") {
    for (const std::string& word :
         {std::string("-CA"), ca(), std::string("-CAkey"), directory_ + "/ca.key",
          std::string("-addext"), std::string("subjectAltName=IP:127.0.0.1"),
          std::string("-addext"), std::string("basicConstraints=critical,CA:FALSE")}) {
      words.push_back(word);
    }
  }
  int status = -1;
  (void)waitpid(Spawn(words, directory_ + "/openssl.log"), &status, 0);
  SLACKER_CHECK(status == 0, "openssl makes certificates");
}

NginxProcess::NginxProcess(Options options) : options_(std::move(options)) {
  std::filesystem::create_directories(options_.directory);
  reserved_ = ReservePort(&port_);
  WriteConfiguration();
  Start();
}

NginxProcess::~NginxProcess() { Kill(); }

void NginxProcess::Start() {
  std::filesystem::remove(StatusSocket());  // of one that was killed
  pid_ = Spawn(
      {"nginx", "-e", "stderr", "-p", options_.directory, "-c", options_.directory + "/nginx.conf"},
      options_.directory + "/error.log");
  for (int waited = 0; !Accepts(port_); ++waited) {
    SLACKER_CHECK(waited < kPatienceMillis && waitpid(pid_, nullptr, WNOHANG) == 0, "nginx starts");
    (void)poll(nullptr, 0, 1);
  }
}

void NginxProcess::Kill() {
  if (pid_ <= 0) return;
  (void)kill(pid_, SIGKILL);
  (void)waitpid(std::exchange(pid_, -1), nullptr, 0);
}

void NginxProcess::Suspend() {
  (void)kill(pid_, SIGSTOP);
  (void)waitpid(pid_, nullptr, WUNTRACED);
}

void NginxProcess::Resume() { (void)kill(pid_, SIGCONT); }

std::vector<std::string> NginxProcess::Requests(size_t at_least) const {
  for (int waited = 0;; ++waited) {
    std::ifstream log(options_.directory + "/access.log");
    std::vector<std::string> lines;
    for (std::string line; std::getline(log, line);) lines.push_back(line);
    if (lines.size() >= at_least || waited == kPatienceMillis) return lines;
    (void)poll(nullptr, 0, 1);
  }
}

size_t NginxProcess::UnderWay() const {
  const UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  StatusSocket().copy(address.sun_path, sizeof address.sun_path - 1);
  std::string answer = "GET /under-way HTTP/1.0\r\n\r\n";
  SLACKER_CHECK(
      connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
          send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL) > 0,
      "nginx runs");
  answer.resize(4096);
  answer.resize(static_cast<size_t>(
      std::max<ssize_t>(0, recv(client.get(), answer.data(), 4096, MSG_WAITALL))));
  const std::string word = "Writing: ";
  const size_t at = answer.find(word);
  SLACKER_CHECK(at != std::string::npos, "nginx has its module for that");
  return std::stoul(answer.substr(at + word.size())) - 1;  // without this one
}

std::string NginxProcess::Server() const {
  std::ifstream file(SLACKER_SOURCE_DIR "/deploy/nginx/slacker-store.conf");
  std::string server((std::istreambuf_iterator<char>(file)), {});
  const auto set = [&server](const std::string& from, const std::string& to) {
    const size_t at = server.find(from);
    SLACKER_CHECK(at != std::string::npos, "the shipped configuration has this line");
    server.replace(at, from.size(), to);
  };
  const TestCertificates& certificates = *options_.certificates;
  set("listen 443 ssl http2;", "listen 127.0.0.1:" + std::to_string(port_) + " reuseport ssl" +
                                   (options_.http2 ? " http2;" : ";"));
  set("/etc/nginx/images.pem", certificates.server());
  set("/etc/nginx/images.key", certificates.server_key());
  set("root /srv/images;", "root " + options_.root + ";\n" + options_.directives);
  if (options_.client_certificate) {
    set("#   ssl_client_certificate /etc/nginx/nodes-ca.pem;",
        "ssl_client_certificate " + certificates.ca() + ";");
    set("#   ssl_verify_client on;", "ssl_verify_client on;");
  }
  if (!options_.token.empty()) {
    set("#   if ($http_authorization", "if ($http_authorization");
    set("SECRET", options_.token);
  }
  return server;
}

void NginxProcess::WriteConfiguration() const {
  std::ofstream file(options_.directory + "/nginx.conf");
  // One process, so that a signal means all of it.
  file << "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr warn;\n"
       << "events { worker_connections 1024; }\nhttp {\n"
       << "log_format line '$request_method $uri $status $server_protocol "
       << "connection=$connection authorization=\"$http_authorization\" "
       << "cache-control=\"$http_cache_control\" answered=\"$sent_http_cache_control\"';\n"
       << "access_log access.log line;\n";
  for (const char* temporary : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
    file << temporary << "_temp_path " << temporary << ";\n";
  }
  file << Server() << "server {\nlisten unix:" << StatusSocket()
       << ";\naccess_log off;\nstub_status;\n}\n}\n";
}

}  // namespace slacker::testing
