"""Where a world's store is: what publishers open, and what its nodes read."""
import os
import socket

from harness.link import SERVER as LINK_SERVER
from harness.process import Daemon, run
from harness.relay import Relay

_NGINX = ("127.0.0.1", 8443)
_NGINX_CONFIGURATION = """
daemon off; master_process off; pid nginx.pid; error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  {server}
}}
"""
_SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       "../../../deploy/nginx/slacker-store.conf")
_TOKEN = "a-token-of-the-tests"


_NFS, _MOUNT = ("127.0.0.1", 2049), ("127.0.0.1", 20048)
_GANESHA = """NFS_CORE_PARAM {{
  NFS_Port = {nfs}; MNT_Port = {mount}; Protocols = 3, 4; mount_path_pseudo = true;
  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;
  Plugins_Dir = "/usr/lib/x86_64-linux-gnu/ganesha";
}}
NFSv4 {{ RecoveryRoot = "{directory}/recovery"; RecoveryBackend = fs; Minor_Versions = 0; }}
EXPORT {{
  Export_Id = 1; Path = "{directory}/export"; Pseudo = /export; Access_Type = RW;
  Squash = No_Root_Squash; SecType = sys; Protocols = 3, 4; Transports = TCP;
  FSAL {{ Name = VFS; }}
}}
"""


class Loopback:
    """A directory, for publishers and nodes alike."""

    def __init__(self, tools, directory):
        del tools
        self.directory = f"{directory}/store"
        self.url = self.node_url = f"loopback:{self.directory}"
        self.settings = ""  # a node's configuration, as TOML
        self.ports = ()  # of the servers that node_url needs
        self.publish_options = ()

    def join(self, network):
        """Makes node_url reachable from a node's network namespace, given as a path."""

    def go_away(self):
        """It does not answer any more, until it comes back."""
        os.rename(self.directory, self.directory + ".away")

    def come_back(self):
        os.rename(self.directory + ".away", self.directory)

    def stop(self):
        """Ends what serves the store; its directory goes with the world's."""


class Published(Loopback):
    """A directory that others have published to, and that is not to be written to; for nodes that may be slow."""

    def __init__(self, url):
        super().__init__(None, "")
        self.settings = "[store]\nbudget_ms = 60000\n"
        self.url = self.node_url = url
        self.directory = url.removeprefix("loopback:")


class Nginx(Loopback):
    """A directory for publishers, which nodes read through nginx: TLS with certificates on both
    sides, a token, signed manifests. Each node reaches it at the same address of its own."""

    def __init__(self, tools, directory):
        super().__init__(tools, directory)
        self._place = f"{directory}/nginx"
        os.makedirs(self._place)
        os.makedirs(self.directory)
        for name in ("ca", "server", "client"):
            self._certify(name)
        with open(f"{self._place}/token", "w") as file:
            file.write(_TOKEN + "\n")
        run(tools.ours("slackerctl"), "keygen", f"{self._place}/publisher.pem")
        self.publish_options = ("--key", f"{self._place}/publisher.pem")
        self.node_url = f"https://{_NGINX[0]}:{_NGINX[1]}"
        self.ports = (_NGINX[1],)
        self.settings = f"""[store]
trusted_keys = ["{self._place}/publisher.pem.pub"]
ca_file = "{self._place}/ca.pem"
client_certificate = "{self._place}/client.pem"
client_key = "{self._place}/client.key"
token_file = "{self._place}/token"
"""
        self._relays = []
        with open(f"{self._place}/nginx.conf", "w") as file:
            file.write(_NGINX_CONFIGURATION.format(server=self._server()))
        self._daemon = Daemon("nginx", ["nginx", "-e", "stderr", "-p", self._place, "-c",
                                        f"{self._place}/nginx.conf"], f"{self._place}/nginx.log")
        self._daemon.await_ready(lambda: _accepts(_NGINX), "accepts connections")

    def _server(self):
        """The shipped one, for nodes with a certificate and a token."""
        with open(_SERVER) as file:
            server = file.read()
        for old, new in (("listen 443 ", f"listen {_NGINX[1]} "),
                         ("/etc/nginx/images.pem", "server.pem"),
                         ("/etc/nginx/images.key", "server.key"),
                         ("root /srv/images;", f"root {self.directory};"),
                         ("#   ssl_client_certificate /etc/nginx/nodes-ca.pem;",
                          "ssl_client_certificate ca.pem;"),
                         ("#   ssl_verify_client on;", "ssl_verify_client on;"),
                         ("#   if ($http_authorization", "if ($http_authorization"),
                         ("SECRET", _TOKEN)):
            if old not in server:
                raise RuntimeError(f"{_SERVER} has no {old}")
            server = server.replace(old, new)
        return server

    def _certify(self, name):
        by = [] if name == "ca" else [
            "-CA", f"{self._place}/ca.pem", "-CAkey", f"{self._place}/ca.key",
            "-addext", f"subjectAltName=IP:{_NGINX[0]},IP:{LINK_SERVER}",
            "-addext", "basicConstraints=critical,CA:FALSE"]
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{self._place}/{name}.key",
            "-out", f"{self._place}/{name}.pem", *by)

    def join(self, network):
        self._relays.append(Relay(network, _NGINX))

    def go_away(self):
        self._daemon.pause()

    def come_back(self):
        self._daemon.resume()

    def stop(self):
        for relay in self._relays:
            relay.stop()
        self._daemon.stop()


class Nfs:
    """nfs-ganesha, with the portmapper that it registers with; signed, as on any network."""

    _OPTIONS = f"mountport={_MOUNT[1]}"

    def __init__(self, tools, directory):
        own = f"{directory}/nfs"
        self.directory = f"{own}/export/store"
        self.url = self.node_url = f"nfs://127.0.0.1:{_NFS[1]}/export/store?{self._OPTIONS}"
        self.ports = (_NFS[1], _MOUNT[1])
        key = f"{own}/publisher.pem"
        self.settings = f'[store]\ntrusted_keys = ["{key}.pub"]\n'
        self.publish_options = ("--key", key)
        for name in (f"{own}/export", f"{own}/recovery", "/run/rpcbind"):
            os.makedirs(name)
        run(tools.ours("slackerctl"), "keygen", key)
        with open(f"{own}/ganesha.conf", "w") as file:
            file.write(_GANESHA.format(nfs=_NFS[1], mount=_MOUNT[1], directory=own))
        self._relays = []
        self._portmapper = Daemon("rpcbind", ["rpcbind", "-f"], f"{own}/rpcbind.log")
        self._portmapper.await_ready(lambda: os.path.exists("/run/rpcbind.sock"), "listens")
        self._server = Daemon(
            "nfs-ganesha", ["ganesha.nfsd", "-F", "-f", f"{own}/ganesha.conf",
                            "-L", f"{own}/ganesha.log", "-p", f"{own}/ganesha.pid", "-N", "EVENT"],
            f"{own}/ganesha.out")
        self._server.await_ready(lambda: _accepts(_NFS) and _accepts(_MOUNT), "listens")

    def join(self, network):
        for address in (_NFS, _MOUNT):
            self._relays.append(Relay(network, address))

    def go_away(self):
        self._server.pause()

    def come_back(self):
        self._server.resume()

    def stop(self):
        for relay in self._relays:
            relay.stop()
        # Its clean end takes longer than there is anything to clean up.
        self._server.kill()
        self._portmapper.stop()


class Nfs4(Nfs):
    """The same, read and written with version 4, which needs no other port."""

    _OPTIONS = "version=4"


def _accepts(address):
    try:
        socket.create_connection(address, 5).close()
        return True
    except OSError:
        return False


def open_store(name, tools, directory):
    """`name` is one of STORES, or loopback:DIRECTORY for one that is there."""
    return Published(name) if name.startswith("loopback:") else STORES[name](tools, directory)


STORES = {"loopback": Loopback, "https": Nginx, "nfs": Nfs, "nfs4": Nfs4}
