"""A few read-only pages over HTTP for those who watch a process: probes, scrapers, people with a browser.

As small as it can be, and no door: it takes ``GET`` and ``HEAD``, reads no body, and closes after each answer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import msgspec

from multiagent.core.errors import ConfigInvalid

HEAD_BYTES: Final = 8192
"""The most that a request may be."""
PATIENCE_S: Final = 10.0
"""So long a reader may take to ask, and a page to answer."""
MOST: Final = 64
"""So many readers at once; more are told to come again."""


class Page(msgspec.Struct, frozen=True):
    """What a page answers."""

    body: bytes
    kind: str = "application/json"
    status: int = 200


Pages = Mapping[str, Callable[[], Awaitable[Page]]]
"""What there is to read, by path."""


@asynccontextmanager
async def open_pages(host: str, port: int, pages: Pages) -> AsyncIterator[int]:
    """Serve these pages during the block; yield the port, which is a free one where ``port`` is 0.

    Raises ConfigInvalid where the port cannot be had.
    """
    desk = _Desk(pages)
    try:
        server = await asyncio.start_server(desk.meet, host, port, limit=HEAD_BYTES)
    except OSError as error:
        raise ConfigInvalid(
            f"port {port} of {host} cannot be listened on: {error.strerror or error}; set another, or 0 for a free one"
        ) from None
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await desk.leave()


class _Desk:
    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._readers: set[asyncio.Task[None]] = set()

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one reader."""
        task = asyncio.current_task()
        if task is not None:
            self._readers.add(task)
            task.add_done_callback(self._readers.discard)
        try:
            async with asyncio.timeout(PATIENCE_S):
                writer.write(await self._answer(reader))
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # a reader that has gone, dawdles or talks too much
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        page = await self._page(method, path)
        return response(page, body=method != "HEAD")

    async def _page(self, method: str, path: str) -> Page:
        if method not in ("GET", "HEAD"):
            return _said(HTTPStatus.METHOD_NOT_ALLOWED)
        if len(self._readers) > MOST:
            return _said(HTTPStatus.SERVICE_UNAVAILABLE)
        make = self._pages.get(path)
        return _said(HTTPStatus.NOT_FOUND) if make is None else await make()

    async def leave(self) -> None:
        """Send readers away."""
        readers = tuple(self._readers)
        for task in readers:
            task.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


def response(page: Page, *, body: bool = True) -> bytes:
    """Return a whole HTTP answer."""
    status = HTTPStatus(page.status)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {page.kind}\r\n"
        f"Content-Length: {len(page.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (page.body if body else b"")


def _said(status: HTTPStatus) -> Page:
    return Page(msgspec.json.encode({"error": status.phrase}), status=status.value)
