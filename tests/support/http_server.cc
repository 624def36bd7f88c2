#include "tests/support/http_server.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <sstream>
#include <utility>

#include "backend/base/check.h"

namespace slacker::testing {
namespace {

HttpRequest ParseRequest(const std::string& text) {
  HttpRequest request;
  std::istringstream lines(text);
  lines >> request.method >> request.path;
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line) && line != "\r") {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    request.headers[name] = line.substr(colon + 2, line.size() - colon - 3);
  }
  return request;
}

bool SendAll(int connection, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

}  // namespace

HttpServer::HttpServer(Handler handler) : handler_(std::move(handler)) {
  listener_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  SLACKER_CHECK(bind(listener_.get(), plain, size) == 0 && listen(listener_.get(), 64) == 0 &&
                    getsockname(listener_.get(), plain, &size) == 0,
                "loopback has a free port");
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

HttpServer::~HttpServer() {
  std::vector<std::thread> workers;
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    stopped_.SignalAll();
  }
  (void)shutdown(listener_.get(), SHUT_RDWR);  // wakes accept()
  acceptor_.join();
  {
    MutexLock lock(&mutex_);
    workers.swap(workers_);
  }
  for (std::thread& worker : workers) worker.join();
}

std::vector<HttpRequest> HttpServer::Requests() {
  MutexLock lock(&mutex_);
  return requests_;
}

void HttpServer::Accept() {
  for (;;) {
    const int connection = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) return;
    MutexLock lock(&mutex_);
    workers_.emplace_back([this, connection] { Serve(connection); });
  }
}

void HttpServer::Trickle(int connection, std::string_view body) {
  constexpr size_t kStepBytes = 1 << 10;
  while (!body.empty() && SendAll(connection, body.substr(0, kStepBytes))) {
    body.remove_prefix(std::min(body.size(), kStepBytes));
    const auto next = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    MutexLock lock(&mutex_);
    for (auto left = next - std::chrono::steady_clock::now(); !stopping_ && left > left.zero();
         left = next - std::chrono::steady_clock::now()) {
      (void)stopped_.WaitFor(&mutex_, left);
    }
    if (stopping_) return;
  }
}

void HttpServer::Serve(int connection) {
  UniqueFd fd(connection);
  std::string text;
  char buffer[4096];
  const auto receive = [&] {
    const ssize_t got = recv(connection, buffer, sizeof buffer, 0);
    if (got > 0) text.append(buffer, static_cast<size_t>(got));
    return got > 0;
  };
  while (text.find("\r\n\r\n") == std::string::npos) {
    if (!receive()) return;
  }
  HttpRequest request = ParseRequest(text);
  const size_t head_bytes = text.find("\r\n\r\n") + 4;
  const auto length = request.headers.find("content-length");
  const size_t body_bytes = length == request.headers.end() ? 0 : std::stoul(length->second);
  if (request.headers.contains("expect") &&
      !SendAll(connection, "HTTP/1.1 100 Continue\r\n\r\n")) {
    return;
  }
  while (text.size() < head_bytes + body_bytes) {
    if (!receive()) return;
  }
  request.body = text.substr(head_bytes, body_bytes);
  {
    MutexLock lock(&mutex_);
    requests_.push_back(request);
  }
  const HttpAnswer answer = handler_(request);
  std::string head =
      "HTTP/1.1 " + std::to_string(answer.status) + " Status\r\nConnection: close\r\n";
  if (answer.content_length) {
    head += "Content-Length: " + std::to_string(answer.body.size()) + "\r\n";
  }
  for (const std::string& header : answer.headers) head += header + "\r\n";
  if (!SendAll(connection, head + "\r\n")) return;
  if (request.method == "HEAD") return;
  if (answer.then == HttpAnswer::Then::kTrickle) return Trickle(connection, answer.body);
  do {
    if (!SendAll(connection, std::string_view(answer.body).substr(0, answer.send_bytes))) return;
  } while (answer.then == HttpAnswer::Then::kRepeat);
  if (answer.then == HttpAnswer::Then::kReset) {
    const linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(connection, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  } else if (answer.then == HttpAnswer::Then::kHang) {
    MutexLock lock(&mutex_);
    while (!stopping_) stopped_.Wait(&mutex_);
  }
}

}  // namespace slacker::testing
