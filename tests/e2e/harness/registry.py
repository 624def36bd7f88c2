"""Debian's docker-registry, and a proxy in front of it that counts what a node fetches."""
import http.client
import http.server
import re
import threading

from harness.isolation import run_in_network
from harness.process import Daemon

ADDRESS = ("127.0.0.1", 5000)
_BLOB = re.compile(r"^/v2/.+/blobs/(sha256:[0-9a-f]{64})$")


class Registry:
    """Serves what lies in `storage` on all addresses of this network namespace; `address` is one of them."""

    def __init__(self, storage, directory, address=ADDRESS):
        self._address = address
        config = f"{directory}/registry-{address[1]}.yml"
        with open(config, "w") as file:
            file.write(f'version: 0.1\nlog: {{level: warn}}\n'
                       f'storage: {{filesystem: {{rootdirectory: {storage}}}}}\n'
                       f'http: {{addr: ":{address[1]}"}}\n')
        self.daemon = Daemon("docker-registry", ["docker-registry", "serve", config],
                             f"{directory}/registry-{address[1]}.log",
                             {"OTEL_TRACES_EXPORTER": "none"})
        self.daemon.await_ready(self._answers, "answers")

    def _answers(self):
        try:
            connection = http.client.HTTPConnection(*self._address, timeout=5)
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def stop(self):
        self.daemon.stop()


class CountingProxy:
    """ADDRESS of another network namespace, passed on to ADDRESS of this one.

    It is a node's only way out. GET bodies are counted by blob digest; manifests as one sum.
    """

    def __init__(self, network):
        self._lock = threading.Lock()
        self.blobs, self.other_bytes = {}, 0
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _forward(self):
                proxy._forward(self)

            do_GET = do_HEAD = _forward

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self._server = run_in_network(network, lambda: Server(ADDRESS, Handler))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _forward(self, handler):
        connection = http.client.HTTPConnection(*ADDRESS)
        headers = {name: value for name, value in handler.headers.items()
                   if name.lower() not in ("connection", "accept-encoding")}
        connection.request(handler.command, handler.path, headers=headers)
        answer = connection.getresponse()
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                handler.send_header(name, value)
        handler.end_headers()
        while handler.command == "GET" and (data := answer.read(1 << 18)):
            self._count(handler.path, len(data))
            handler.wfile.write(data)
        connection.close()

    def _count(self, path, size):
        blob = _BLOB.match(path)
        with self._lock:
            if blob:
                self.blobs[blob[1]] = self.blobs.get(blob[1], 0) + size
            else:
                self.other_bytes += size

    def bytes(self):
        with self._lock:
            return sum(self.blobs.values()) + self.other_bytes

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
