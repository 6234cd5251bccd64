"""A proxy in front of a database that cuts, delays and refuses connections when it is told to.

``python -m tests.fault_proxy 127.0.0.1:81=10.0.0.1:80`` passes one address on to another until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field


@dataclass
class FaultProxy:
    """Passes everything on to a UNIX socket or a ``host:port``: ``with fault_proxy("/run/…/.s.PGSQL.5432") as proxy: …``."""

    target: str
    port: int = 0
    delay: float = 0.0  # seconds before each piece is passed on
    refuses: bool = False
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> int:
        """Reset every open connection at once. Returns how many."""
        cut = len(self._open)
        self._loop.call_soon_threadsafe(self._abort)
        return cut

    def _abort(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def serve(self, ready: threading.Event, stopping: asyncio.Event, host: str) -> None:
        server = await asyncio.start_server(self._connected, host, self.port)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await stopping.wait()
            self._abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            theirs, ours = await self._reached()
            self._open |= {writer, ours}
            await asyncio.gather(self._pass_on(reader, ours), self._pass_on(theirs, writer))
            self._open -= {writer, ours}

    async def _reached(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.target.startswith("/"):
            return await asyncio.open_unix_connection(self.target)
        host, _, port = self.target.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(piece)
                await writer.drain()
        writer.transport.abort()


@contextmanager
def fault_proxy(target: str, host: str = "127.0.0.1", port: int = 0) -> Iterator[FaultProxy]:
    """``port`` 0: any free one."""
    proxy, ready = FaultProxy(target, port), threading.Event()
    stopping = asyncio.Event()
    thread = threading.Thread(target=proxy._loop.run_until_complete, args=(proxy.serve(ready, stopping, host),))
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        proxy._loop.call_soon_threadsafe(stopping.set)
        thread.join()
        for task in asyncio.all_tasks(proxy._loop):
            task.cancel()
        proxy._loop.run_until_complete(asyncio.sleep(0.05))
        proxy._loop.close()


def main() -> None:
    with ExitStack() as stack:
        for way in sys.argv[1:]:
            here, _, target = way.partition("=")
            host, _, port = here.rpartition(":")
            stack.enter_context(fault_proxy(target, host, int(port)))
        sys.stdin.read()


if __name__ == "__main__":
    main()
