"""A small web server for pages of this program: it prints nothing of what it is asked, and ends when it is told to."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import WSGIApplication

from harness.errors import InputError


@contextmanager
def served(app: WSGIApplication, host: str, port: int) -> Iterator[str]:
    """Serve a WSGI application within, from threads of its own, and give its URL; port 0 picks a free one.

    Raises :class:`InputError` where the address cannot be listened on.
    """
    server = _open(host, port)
    server.set_app(app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _open(host: str, port: int) -> _Server:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return _Server(family, host, port)
    except socket.gaierror as error:
        raise InputError(f"--host {host}: not an address of this machine ({error.strerror})") from None
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise InputError(f"--host {host} --port {port}: cannot be listened on ({error.strerror})") from None
        raise InputError(f"--port {port}: taken by another program; {_free(family, host)} is free") from None


def _free(family: int, host: str) -> int:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, family: socket.AddressFamily, host: str, port: int) -> None:
        self.address_family = family
        super().__init__((host, port), _Quiet)

    def server_bind(self) -> None:
        """Take the address; the standard server asks the network for its name as well, which may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""
