"""An application behind real TLS, with a certificate that only those trust who are told to."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from werkzeug.serving import make_server


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1, and its key; return their files."""
    made, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", str(key), "-out", str(made), "-days", "2", "-subj", "/CN=le-test",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return made, key


@contextmanager
def serving(app: Any, folder: Path) -> Iterator[tuple[str, Path]]:
    """Serve an application at https://127.0.0.1:PORT; give that address, and the certificate to trust."""
    trusted, key = certificate(folder)
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=(str(trusted), str(key)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}", trusted
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
