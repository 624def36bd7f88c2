// HttpsBackend against a real nginx. Publishing goes into the directory that it serves.
#include "backend/https/https_backend.h"

#include <memory>

#include "backend/loopback/loopback_backend.h"
#include "tests/conformance/backend/backend_suite.h"
#include "tests/support/nginx_process.h"
#include "tests/support/temp_dir.h"

namespace slacker::testing {
namespace {

class NginxStore final : public StoreUnderTest {
 public:
  explicit NginxStore(bool http2) : http2_(http2) {}
  Backend& backend() override { return *directory_backend_; }
  ReadBackend& reader() override { return *reader_; }

 private:
  const bool http2_;
  TempDir directory_;
  TestCertificates certificates_{directory_ / "certificates"};
  std::unique_ptr<LoopbackBackend> directory_backend_ =
      LoopbackBackend::Open(directory_ / "store", LoopbackBackend::Missing::kCreate).value();
  NginxProcess nginx_{{.directory = directory_ / "nginx",
                       .root = directory_ / "store",
                       .certificates = &certificates_,
                       .http2 = http2_}};
  std::unique_ptr<HttpsBackend> reader_ =
      HttpsBackend::Open(nginx_.Url(), {.ca_file = certificates_.ca()}).value();
};

INSTANTIATE_TEST_SUITE_P(
    Nginx, ReadBackendSuite,
    ::testing::Values(BackendCase{"Http2", [] { return std::make_unique<NginxStore>(true); }},
                      BackendCase{"Http1", [] { return std::make_unique<NginxStore>(false); }}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace slacker::testing
