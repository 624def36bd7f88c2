#include <array>
#include <chrono>
#include <filesystem>

#include "backend/base/status.h"
#include "cmd/hellobench/site/addresses.h"
#include "cmd/hellobench/site/files.h"
#include "cmd/hellobench/site/servers.h"

namespace slacker::hellobench {
namespace {

absl::StatusOr<std::string> MadeBelow(const std::string& directory, const std::string& name) {
  std::string own = directory + "/" + name;
  RETURN_IF_ERROR(MakeDirectories(own));
  return own;
}

// A directory, which everybody has.
class LoopbackStore final : public Store {
 public:
  explicit LoopbackStore(const std::string& directory) : directory_(directory + "/store") {}

  absl::StatusOr<Placeholders> PlaceholdersFor(const std::string& snapshotter) const override {
    ASSIGN_OR_RETURN(const std::string own, MadeBelow(directory_, snapshotter));
    const std::string url = "loopback:" + own;
    return Placeholders{{"store", url}, {"publish_store", url}, {"store_directory", own}};
  }
  const std::string& directory() const override { return directory_; }
  absl::StatusOr<Served> ServedTo(std::string_view) const override {
    return NotFound("a directory does not count");
  }

 private:
  const std::string directory_;
};

bool ListensOn(const Compartment& servers, uint16_t port) {
  bool accepts = false;
  return servers.Enter([&] { accepts = Accepts(kServerAddress, port); }).ok() && accepts;
}

// nfs-ganesha, with the portmapper that it insists on.
class NfsStore final : public Store {
 public:
  explicit NfsStore(const std::string& directory)
      : own_(directory), directory_(directory + "/export/store") {}

  absl::Status Start(Programs& programs, const Compartment& servers) {
    RETURN_IF_ERROR(MakeDirectories(directory_));
    RETURN_IF_ERROR(MakeDirectories(own_ + "/recovery"));
    RETURN_IF_ERROR(WriteText(own_ + "/ganesha.conf", Configuration()));
    RETURN_IF_ERROR(
        programs.Run({.words = {"mkdir", "-p", "/run/rpcbind"}, .where = servers.where()})
            .status());
    ASSIGN_OR_RETURN(portmapper_,
                     programs.Start({.words = {"rpcbind", "-f"}, .where = servers.where()},
                                    own_ + "/rpcbind.log"));
    constexpr uint16_t kPortmapperPort = 111;
    RETURN_IF_ERROR(Await(programs, *portmapper_, "rpcbind", "listen", kStartLimit,
                          [&] { return ListensOn(servers, kPortmapperPort); }));
    ASSIGN_OR_RETURN(
        server_,
        programs.Start({.words = {"ganesha.nfsd", "-F", "-f", own_ + "/ganesha.conf", "-L",
                                  own_ + "/ganesha.log", "-p", own_ + "/ganesha.pid", "-N", "WARN"},
                        .where = servers.where()},
                       own_ + "/ganesha.log"));
    return Await(programs, *server_, "ganesha.nfsd", "listen", kStartLimit,
                 [&] { return ListensOn(servers, kNfsPort) && ListensOn(servers, kMountPort); });
  }

  absl::StatusOr<Placeholders> PlaceholdersFor(const std::string& snapshotter) const override {
    ASSIGN_OR_RETURN(const std::string own, MadeBelow(directory_, snapshotter));
    const std::string url = "nfs://" + std::string(kServerAddress) + ":" +
                            std::to_string(kNfsPort) + "/export/store/" + snapshotter +
                            "?mountport=" + std::to_string(kMountPort);
    return Placeholders{{"store", url}, {"publish_store", url}, {"store_directory", own}};
  }
  const std::string& directory() const override { return directory_; }
  absl::StatusOr<Served> ServedTo(std::string_view) const override {
    return NotFound("nfs-ganesha does not count");
  }

 private:
  std::string Configuration() const {
    std::string plugins;
    // Debian's is in its directory for the architecture, and not where the program looks.
    for (const char* place :
         {"/usr/lib/x86_64-linux-gnu/ganesha", "/usr/lib/aarch64-linux-gnu/ganesha"}) {
      if (std::filesystem::exists(place)) plugins = "Plugins_Dir = \"" + std::string(place) + "\";";
    }
    return "NFS_CORE_PARAM {\n  NFS_Port = " + std::to_string(kNfsPort) +
           "; MNT_Port = " + std::to_string(kMountPort) +
           "; Protocols = 3, 4; mount_path_pseudo = true;\n"
           "  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;\n  " +
           plugins + "\n}\nNFSv4 { RecoveryRoot = \"" + own_ +
           "/recovery\"; RecoveryBackend = fs; Minor_Versions = 0; }\n"
           "EXPORT {\n  Export_Id = 1; Path = \"" +
           own_ +
           "/export\"; Pseudo = /export; Access_Type = RW;\n"
           "  Squash = No_Root_Squash; SecType = sys; Protocols = 3, 4; Transports = TCP;\n"
           "  FSAL { Name = VFS; }\n}\n";
  }

  const std::string own_, directory_;
  std::unique_ptr<Daemon> portmapper_, server_;
};

// A directory for publishers, which nodes read through nginx over TLS with a certificate of the site's.
class HttpsStore final : public Store {
 public:
  explicit HttpsStore(const std::string& directory)
      : own_(directory), directory_(directory + "/store") {}

  absl::Status Start(Programs& programs, const Compartment& servers) {
    RETURN_IF_ERROR(MakeDirectories(directory_));
    RETURN_IF_ERROR(Certify(programs, "ca"));
    RETURN_IF_ERROR(Certify(programs, "server"));
    RETURN_IF_ERROR(WriteText(own_ + "/nginx.conf", Configuration()));
    ASSIGN_OR_RETURN(
        server_,
        programs.Start({.words = {"nginx", "-e", "stderr", "-p", own_, "-c", own_ + "/nginx.conf"},
                        .where = servers.where()},
                       own_ + "/nginx.log"));
    return Await(programs, *server_, "nginx", "listen", kStartLimit,
                 [&] { return ListensOn(servers, kHttpsPort); });
  }

  absl::StatusOr<Placeholders> PlaceholdersFor(const std::string& snapshotter) const override {
    ASSIGN_OR_RETURN(const std::string own, MadeBelow(directory_, snapshotter));
    return Placeholders{{"store", "https://" + std::string(kServerAddress) + ":" +
                                      std::to_string(kHttpsPort) + "/" + snapshotter},
                        {"publish_store", "loopback:" + own},
                        {"store_directory", own},
                        {"store_ca", own_ + "/ca.pem"}};
  }
  const std::string& directory() const override { return directory_; }
  absl::StatusOr<Served> ServedTo(std::string_view address) const override {
    return ReadAccessLog(own_ + "/access.log", address);
  }

 private:
  absl::Status Certify(Programs& programs, const std::string& name) const {
    const std::string base = own_ + "/" + name;
    std::vector<std::string> words = {"openssl",
                                      "req",
                                      "-x509",
                                      "-newkey",
                                      "ec",
                                      "-pkeyopt",
                                      "ec_paramgen_curve:P-256",
                                      "-nodes",
                                      "-days",
                                      "30",
                                      "-subj",
                                      "/CN=" + name,
                                      "-keyout",
                                      base + ".key",
                                      "-out",
                                      base + ".pem"};
    if (name != "ca") {
      words.insert(words.end(), {"-CA", own_ + "/ca.pem", "-CAkey", own_ + "/ca.key", "-addext",
                                 "subjectAltName=IP:" + std::string(kServerAddress), "-addext",
                                 "basicConstraints=critical,CA:FALSE"});
    }
    return programs.Run({.words = words}).status();
  }

  // Workers as the processors are: one would be the limit before the wire is.
  std::string Configuration() const {
    return "user root; daemon off; pid nginx.pid; error_log stderr warn; worker_processes auto;\n"
           "events { worker_connections 4096; }\nhttp {\n"
           "  log_format counted '$remote_addr - - \"$request\" $status $bytes_sent';\n"
           "  access_log access.log counted; sendfile on; tcp_nopush on;\n"
           "  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n"
           "  uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n  server {\n    listen " +
           std::to_string(kHttpsPort) +
           " ssl http2;\n    ssl_certificate server.pem; ssl_certificate_key server.key;\n"
           "    location / { root " +
           directory_ + "; }\n  }\n}\n";
  }

  const std::string own_, directory_;
  std::unique_ptr<Daemon> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> StartStore(Programs& programs, const Compartment& servers,
                                                  const std::string& kind,
                                                  const std::string& directory) {
  RETURN_IF_ERROR(MakeDirectories(directory));
  if (kind == "loopback") return std::make_unique<LoopbackStore>(directory);
  if (kind == "nfs") {
    auto store = std::make_unique<NfsStore>(directory);
    RETURN_IF_ERROR(store->Start(programs, servers));
    return store;
  }
  if (kind == "https") {
    auto store = std::make_unique<HttpsStore>(directory);
    RETURN_IF_ERROR(store->Start(programs, servers));
    return store;
  }
  return InvalidArgument("store \"" + kind + "\": must be one of loopback, nfs, https");
}

}  // namespace slacker::hellobench
