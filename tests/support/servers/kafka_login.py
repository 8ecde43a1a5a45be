"""A broker of Kafka that goes as far as the login, behind TLS, and refuses it: librdkafka's mock has no logins."""

from __future__ import annotations

import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SASL_HANDSHAKE, _API_VERSIONS, _SASL_AUTHENTICATE = 17, 18, 36
_VERSIONS = {0: 7, 3: 4, _SASL_HANDSHAKE: 1, _API_VERSIONS: 0, _SASL_AUTHENTICATE: 0}
_UNSUPPORTED_VERSION, _SASL_AUTHENTICATION_FAILED = 35, 58


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _answer(api: int, version: int) -> bytes:
    if api == _API_VERSIONS:
        known = b"".join(struct.pack(">hhh", each, 0, most) for each, most in _VERSIONS.items())
        return struct.pack(">hi", _UNSUPPORTED_VERSION if version else 0, len(_VERSIONS)) + known
    if api == _SASL_HANDSHAKE:
        return struct.pack(">hi", 0, 1) + _text("PLAIN")
    refused = struct.pack(">h", _SASL_AUTHENTICATION_FAILED)
    return refused + _text("Invalid username or password") + struct.pack(">i", 0)


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        """Answer one request after the other."""
        with suppress(OSError):
            while head := self.rfile.read(4):
                request = self.rfile.read(struct.unpack(">i", head)[0])
                api, version, correlation = struct.unpack(">hhi", request[:8])
                body = struct.pack(">i", correlation) + _answer(api, version)
                self.wfile.write(struct.pack(">i", len(body)) + body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that does not trust the certificate goes away."""


@contextmanager
def refusing_broker(certificate: Path, key: Path) -> Iterator[int]:
    """Run such a broker; give its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(10)
