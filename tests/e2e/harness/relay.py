"""A way out of a network namespace, for connections to one address."""
import socket
import socketserver
import threading

from harness.isolation import run_in_network


class Relay:
    """`address` of the network namespace `network`, passed on to the same address of this one; or to what
    connect() returns, by carry(source, target), which copies one way until its end."""

    def __init__(self, network, address, connect=None, carry=None):
        connect, carry = connect or (lambda: socket.create_connection(address)), carry or _copy

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                with connect() as out:
                    back = threading.Thread(target=carry, args=(out, self.request))
                    back.start()
                    carry(self.request, out)
                    back.join()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = run_in_network(network, lambda: Server(address, Handler))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _copy(source, target):
    try:
        while data := source.recv(1 << 18):
            target.sendall(data)
    except OSError:
        pass
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
