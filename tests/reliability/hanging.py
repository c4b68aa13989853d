"""Servers that are no good: one that takes a request and never answers, one that drips, one that refuses in detail."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

__all__ = ["answering_with", "dripping", "hanging"]


@contextmanager
def hanging() -> Iterator[str]:
    """A server that listens and never says a word; its address."""
    with _server(lambda connection, over: over.wait()) as address:
        yield address


@contextmanager
def dripping(seconds: float = 1.0) -> Iterator[str]:
    """A server that answers a byte in so many seconds, for ever; its address."""

    def drip(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        while not over.wait(seconds):
            connection.sendall(b" ")

    with _server(drip) as address:
        yield address


@contextmanager
def answering_with(status: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Iterator[str]:
    """A server that gives every request the same answer, ``429 Too Many Requests`` say; its address."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{lines}\r\n".encode()

    def answer(connection: socket.socket, over: threading.Event) -> None:
        del over
        connection.recv(65536)
        connection.sendall(head + body)

    with _server(answer) as address:
        yield address


@contextmanager
def _server(behave: Callable[[socket.socket, threading.Event], object]) -> Iterator[str]:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)

        def accept() -> None:
            while not over.is_set():
                with suppress(TimeoutError, OSError):
                    connection, _ = listening.accept()
                    connection.settimeout(None)
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                behave(connection, over)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            thread.join()
