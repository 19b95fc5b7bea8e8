"""What a server of gRPC says first. By a plain socket, so that the wait goes by no time of day."""

import socket
from typing import Final

__all__ = ["greeting"]

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How a client of HTTP/2 begins: its preface and settings, which are the default ones."""


def greeting(address: tuple[str, int], timeout_s: float) -> bytes:
    """The first byte that comes back; none where the server closes the connection.

    Raises TimeoutError where it does not react in time, and OSError where there is none.
    """
    with socket.create_connection(address, timeout_s) as client:
        client.sendall(_PREFACE)
        return client.recv(1)
