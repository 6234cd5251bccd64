"""Stand-ins for the vendors: a small HTTP server on loopback, as strict as the real one, for tests and the demo."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qsl, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import uvicorn
from fastapi import FastAPI


@dataclass(frozen=True)
class Call:
    """One request a vendor got: ``Call("POST", "/bot1:a/getMe", {}, {"content-type": …}, b"")``; header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True, errors="strict"))


@dataclass(frozen=True)
class Reply:
    """What the vendor answers; ``drop`` closes the connection without a word."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Our own app on a free port of loopback, for a vendor to post to: ``with served(app) as url: …``."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"  # connections wait in the socket until the server runs
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


class StandIn:
    """An HTTP server in a thread: ``with TwilioApi() as api: …api.url…``. A subclass says in ``answer`` what the vendor would."""

    def __init__(self, port: int = 0) -> None:
        self.lock = threading.RLock()  # requests come in threads of their own
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, call: Call) -> Reply:
        raise NotImplementedError

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.close_connections()
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def serve_until_stopped(self) -> None:
        """For a process of its own: print the port, then answer until a signal ends it."""
        with self:
            print(self.port, flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                self.stopped.wait()


def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float = 15.0) -> tuple[int, bytes]:
    """Post as a vendor would and return status and body; status 0: nobody answered."""
    request = Request(url, data=body, headers=dict(headers), method="POST")
    try:
        with _direct.open(request, timeout=timeout) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()
    except (URLError, OSError):
        return 0, b""


_direct = build_opener(ProxyHandler({}))  # a proxy of the environment must not catch what is meant for this machine


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """End what clients keep open, or the threads that read from them outlive the server."""
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; what fails in an answer was answered with 500."""


def _handler(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            try:
                reply = stand_in.answer(Call(self.command, parts.path, query, headers, body))
            except Exception:
                traceback.print_exc()
                reply = Reply(500)
            self._reply(reply)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - names given by http.server

        def _reply(self, reply: Reply) -> None:
            if reply.drop:
                self.close_connection = True
                return
            payload = (
                reply.body if isinstance(reply.body, bytes) else b"" if reply.body is None else json.dumps(reply.body).encode()
            )
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            if reply.status != 204:
                self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a path may hold a token."""

    return Handler
