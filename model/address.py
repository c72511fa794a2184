"""Where an engine on another machine is, and one request to it; closing the connection is how a run there is ended."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from model.errors import SettingError

CONNECT_SECONDS = 5.0
TOKEN = "INKBLOT_ENGINE_TOKEN"  # environment: sent as the bearer; a worker that has it asks for it
GONE = (
    OSError,
    http.client.HTTPException,
    ValueError,
    AttributeError,
)  # what reading from a connection that was shut may raise


class Address:
    """An engine's address. Raise SettingError where it is none."""

    def __init__(self, url: str):
        parts = urlsplit(url if "//" in url else f"http://{url}")
        try:
            known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0 and not parts.query
        except ValueError:
            known = None
        if not known or parts.username or parts.fragment:
            raise SettingError(
                f"An engine's address must be like http://127.0.0.1:7870; it was {url[:80]!r}.", "engine"
            )
        self.host, self.port, self.secure = str(parts.hostname), parts.port, parts.scheme == "https"
        self.base = parts.path.rstrip("/")
        self.name = parts.netloc + self.base

    def open(self, method: str, path: str, body: Any, silent_seconds: float) -> tuple[http.client.HTTPConnection, Any]:
        """Return a connection and its response, whose body is still to be read; raise OSError, HTTPException.

        silent_seconds: without a byte, after which reading raises.
        """
        https = {"context": ssl.create_default_context()} if self.secure else {}
        kind: Any = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        connection = kind(self.host, self.port, timeout=CONNECT_SECONDS, **https)
        headers = {"content-type": "application/json"}
        if token := os.environ.get(TOKEN):
            headers["authorization"] = f"Bearer {token}"
        try:
            connection.connect()
            connection.sock.settimeout(silent_seconds)
            connection.request(method, self.base + path, None if body is None else json.dumps(body).encode(), headers)
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise


def shut(connection: http.client.HTTPConnection | None) -> None:
    """Shut a connection from any thread, so that whoever reads from it is woken and the other side notices."""
    if connection is not None and connection.sock is not None:
        with suppress(*GONE):
            connection.sock.shutdown(socket.SHUT_RDWR)
