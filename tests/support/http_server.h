// An HTTP server for tests that misbehaves as it is told. Listens on an ephemeral loopback port;
// one request per connection.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "backend/base/mutex.h"
#include "backend/base/unique_fd.h"

namespace slacker::testing {

struct HttpRequest {
  std::string method;
  std::string path;                            // with its query
  std::map<std::string, std::string> headers;  // lower-case names
  std::string body;                            // as long as Content-Length says
};

struct HttpAnswer {
  int status = 200;
  std::vector<std::string> headers = {};  // whole lines
  std::string body = {};
  // Content-Length is the body's size, but only this much of it is sent; then:
  size_t send_bytes = std::string::npos;
  // kRepeat: the body again and again, until the client has gone. kTrickle: it is sent at 1 KiB/s.
  enum class Then { kClose, kReset, kHang, kRepeat, kTrickle } then = Then::kClose;
  // False: the end of the connection is the end of the body.
  bool content_length = true;
};

class HttpServer {
 public:
  using Handler = std::function<HttpAnswer(const HttpRequest&)>;
  // `handler` runs on threads of the server.
  explicit HttpServer(Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string Host() const { return "127.0.0.1:" + std::to_string(port_); }
  // All requests so far.
  std::vector<HttpRequest> Requests();

 private:
  void Accept();
  void Serve(int connection);
  void Trickle(int connection, std::string_view body);

  const Handler handler_;
  UniqueFd listener_;
  int port_ = 0;
  Mutex mutex_;
  CondVar stopped_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<HttpRequest> requests_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> workers_ ABSL_GUARDED_BY(mutex_);
  std::thread acceptor_;
};

}  // namespace slacker::testing
