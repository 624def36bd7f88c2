"""A wire between this network namespace and a node's, with the rate and the latency of a real one."""
import itertools
import json
import queue
import socket
import threading
import time

from harness.isolation import run_in_network
from harness.process import run
from harness.relay import Relay

SERVER, _NODE = "10.77.0.1", "10.77.0.2"
_PREFIX_BITS = 16
_SWITCH_MAC = "02:00:00:4d:00:01"  # locally administered
_NUMBERS = itertools.count()


class Link:
    """For one node at a time. `mbit` limits what the node receives (0: no limit); `delay_ms` is added to
    every round trip, by relays in the node's namespace: for `ports`, which servers here listen on."""

    def __init__(self, mbit=0, delay_ms=0, ports=()):
        self._mbit, self._delay, self._ports = mbit, delay_ms / 2000, ports
        self._name, self._relays = None, []
        # Where the node finds the servers.
        self.server = "127.0.0.1" if delay_ms else SERVER

    def attach(self, pid, network):
        """Connects the namespace of the process; it goes with the namespace."""
        self._name = _connect(pid, network, _NODE)
        run("ip", "address", "add", f"{SERVER}/{_PREFIX_BITS}", "dev", self._name)
        _limit(self._name, self._mbit)
        if self._delay:
            self._relays = [_delay(network, port, self._delay) for port in self._ports]

    def detach(self):
        for relay in self._relays:
            relay.stop()
        self._relays = []
        run("ip", "link", "delete", self._name)

    def received(self):
        """Bytes that the node has received, headers and all."""
        return _sent(self._name)


class Switch:
    """The servers' one wire to any number of nodes; `mbit` limits what they send to all of these together
    (0: no limit). Gives each node a port, which stands in for its Link."""

    def __init__(self, mbit=0):
        self._name = f"switch{next(_NUMBERS)}"
        # An address of its own: otherwise it has one of its ports', another one when that port goes, and for half a minute
        # nodes would send to the one of before.
        run("ip", "link", "add", self._name, "address", _SWITCH_MAC, "type", "bridge")
        run("ip", "address", "add", f"{SERVER}/{_PREFIX_BITS}", "dev", self._name)
        run("ip", "link", "set", self._name, "up")
        _limit(self._name, mbit)

    def port(self):
        return _Port(self._name)

    def sent(self):
        """Bytes to all nodes, headers and all."""
        return _sent(self._name)

    def remove(self):
        run("ip", "link", "delete", self._name)


class _Port:
    server = SERVER

    def __init__(self, switch):
        self._switch = switch
        self._name = None

    def attach(self, pid, network):
        number = next(_NUMBERS)
        self._name = _connect(pid, network, f"10.77.{1 + number // 200}.{1 + number % 200}")
        run("ip", "link", "set", self._name, "master", self._switch)

    def detach(self):
        run("ip", "link", "delete", self._name)


def _connect(pid, network, address):
    """A wire to the namespace of the process, which has this address there; our end's name."""
    name = f"link{next(_NUMBERS)}"
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "wire", "netns", pid)
    run("ip", "link", "set", name, "up")
    for command in (("address", "add", f"{address}/{_PREFIX_BITS}", "dev", "wire"),
                    ("link", "set", "wire", "up")):
        run("nsenter", f"--net={network}", "ip", *command)
    return name


def _limit(device, mbit):
    if mbit:
        run("tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", f"{mbit}mbit", "burst", "128kb",
            "latency", "50ms")


def _sent(device):
    (link,) = json.loads(run("ip", "-json", "-statistics", "link", "show", "dev", device))
    return link["stats64"]["tx"]["bytes"]


def _delay(network, port, seconds):
    """A port of the node's own, passed on to the server's; bytes stay for `seconds` on each way."""
    def connect():
        return run_in_network(network, lambda: socket.create_connection((SERVER, port)))

    def carry(source, target):
        target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _carry(source, target, seconds)
    return Relay(network, ("127.0.0.1", port), connect, carry)


def _carry(source, target, seconds):
    """What comes at one moment leaves `seconds` later, however much is on the way meanwhile."""
    pieces = queue.SimpleQueue()

    def send():
        while True:
            due, data = pieces.get()
            time.sleep(max(0, due - time.monotonic()))
            try:
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)
            except OSError:
                return

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    data = b"-"
    while data:
        try:
            data = source.recv(1 << 18)
        except OSError:
            data = b""
        pieces.put((time.monotonic() + seconds, data))
    sender.join()
