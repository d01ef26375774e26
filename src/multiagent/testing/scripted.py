"""A fake vendor: an OpenAI-compatible HTTP server that follows a script and keeps a bill.

``python -m multiagent.testing.scripted --port 0 --script FILE --ledger FILE`` prints its port and serves until it is
killed; in a test's own process it is ``async with ScriptedVendor(script) as vendor``.
"""

import argparse
import asyncio
import hashlib
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from multiagent.core.messages import Text
from multiagent.core.usage import Rates, Usage
from multiagent.llm.base import Chunk, Endpoint, ModelInfo, ModelRequest, PartDone, StreamEnd, TextDelta
from multiagent.llm.gate_bounds import prompt_bound
from multiagent.llm.gate_estimate import estimate_parts, estimate_usage
from multiagent.testing.scripted_script import Ledger, LedgerLine, Reply, Script, VendorBill, bill
from multiagent.testing.scripted_wire import pieces, read_request, render, render_end

_LARGEST_BODY: Final = 64 << 20
_HEAD: Final = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nx-request-id: {}\r\n\r\n"
)


class _ClientGone(Exception):
    """The client has closed the connection."""


class ScriptedVendor:
    """The server. ``url`` is its base URL; ``calls`` counts what was asked, ``in_flight`` what is being answered."""

    def __init__(self, script: Script | None = None, ledger: Path | None = None, port: int = 0) -> None:
        self.script = script if script is not None else Script()
        self.ledger = Ledger(ledger)
        self.calls = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.requests: list[ModelRequest] = []
        self._port = port
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Condition()
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None, "start the vendor first"
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    @property
    def url(self) -> str:
        """The base URL, as vendors' are written."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def bill(self) -> VendorBill:
        """The bill so far."""
        return bill(self.ledger.lines)

    async def until(self, happened: Callable[["ScriptedVendor"], bool]) -> None:
        """Wait until something holds of the vendor, looked at whenever a call begins, is billed or ends."""
        async with self._changed, asyncio.timeout(30):
            await self._changed.wait_for(lambda: happened(self))

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, limit=1 << 20)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self.ledger.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._serve(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, _ClientGone):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False where the connection ends."""
        start = await reader.readline()
        if not start:
            return False
        headers: dict[str, str] = {}
        while (line := await reader.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        if length > _LARGEST_BODY:
            await _plain(writer, 413, "the request is too large")
            return False
        body = await reader.readexactly(length)
        method, target, _ = start.decode("latin-1").split(" ", 2)
        if self.script.key and headers.get("authorization") != f"Bearer {self.script.key}":
            await _plain(writer, 401, f"Incorrect API key provided: {headers.get('authorization', '')[7:]}")
        elif method == "POST" and target.endswith("/chat/completions"):
            await self._complete(reader, writer, body)
        elif method == "GET" and target.endswith("/models"):
            await _plain(writer, 200, "", b'{"object":"list","data":[]}')
        else:
            await _plain(writer, 404, "no such route")
        return True

    async def _complete(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> None:
        self.calls += 1
        number = self.calls
        try:
            request = read_request(body)
        except msgspec.MsgspecError as error:
            await _plain(writer, 400, f"the request is not of this API: {error}")
            return
        self.requests.append(request)
        await self._note(
            LedgerLine("began", number, model=request.model, body=hashlib.sha256(body).hexdigest()), in_flight=1
        )
        reply = self.script.reply(number, request.purpose, _said(request))
        delivered = False
        try:
            delivered = await self._answer(_Exchange(reader, writer, number), request, reply)
        finally:
            await self._note(LedgerLine("ended", number, delivered=delivered), in_flight=-1)

    async def _note(self, line: LedgerLine, in_flight: int = 0) -> None:
        self.ledger.add(line)
        self.in_flight += in_flight
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        async with self._changed:
            self._changed.notify_all()

    async def _answer(self, exchange: "_Exchange", request: ModelRequest, reply: Reply) -> bool:
        await exchange.pause(reply.latency_s)
        if reply.kind == "status":
            await _plain(exchange.writer, reply.status, "as the script says", retry_after_s=reply.retry_after_s)
            return True
        chunks = await _planned(request) if reply.kind == "planner" else pieces(reply)
        usage = self._usage(request, reply, chunks)
        await self._note(
            LedgerLine("billed", exchange.number, model=request.model, prompt=usage.prompt, completion=usage.completion)
        )
        await exchange.begin()
        calls = itertools.count()
        breaks = reply.kind in ("hang", "reset", "garbage")
        for chunk in chunks[: reply.after] if breaks else chunks:
            await exchange.send(render(chunk, exchange.identity, calls))
        if breaks:
            await self._break(exchange, reply)
            return False
        called = any(isinstance(chunk, PartDone) for chunk in chunks)
        finish = reply.finish or ("tool_calls" if called else "stop")
        reported = None if reply.usage == "none" else usage
        await exchange.send(render_end(finish, reported, reply.shape, exchange.identity))
        await exchange.finish()
        return True

    async def _break(self, exchange: "_Exchange", reply: Reply) -> None:
        if reply.kind == "garbage":
            await exchange.send(b"data: {]]\n\n")
            await exchange.finish()
        elif reply.kind == "hang":
            await exchange.reader.read(1)
            raise _ClientGone
        else:
            exchange.writer.transport.abort()
            raise _ClientGone

    def _usage(self, request: ModelRequest, reply: Reply, chunks: list[Chunk]) -> Usage:
        bound = prompt_bound(request, self.script.overhead_tokens)
        if reply.usage == "exact":
            return Usage(bound, request.max_output)
        if reply.usage == "more":
            return Usage(bound, request.max_output + 50)
        texts = [Text(chunk.text) for chunk in chunks if isinstance(chunk, TextDelta)]
        answered = estimate_parts(texts) + estimate_parts(chunk.part for chunk in chunks if isinstance(chunk, PartDone))
        return Usage(estimate_usage(request, ()).prompt, max(1, min(answered, request.max_output)))


class _Exchange:
    """One request's answer on its way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number
        self.identity = f"chatcmpl-{number}"

    async def pause(self, seconds: float) -> None:
        """Take time, unless the client leaves."""
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self.reader.read(1)
        except TimeoutError:
            return
        raise _ClientGone

    async def begin(self) -> None:
        """Send the head."""
        self.writer.write(_HEAD.format(self.identity).encode())
        await self.writer.drain()

    async def send(self, data: bytes) -> None:
        """Send one piece."""
        if self.writer.is_closing():
            raise _ClientGone
        if data:
            self.writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await self.writer.drain()

    async def finish(self) -> None:
        """Send the end."""
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()


async def _plain(
    writer: asyncio.StreamWriter, status: int, message: str, body: bytes = b"", *, retry_after_s: float | None = None
) -> None:
    data = body or msgspec.json.encode({"error": {"message": message, "type": "scripted", "code": status}})
    after = "" if retry_after_s is None else f"Retry-After: {retry_after_s:g}\r\n"
    head = f"HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n{after}\r\n"
    writer.write(head.encode() + data)
    await writer.drain()


async def _planned(request: ModelRequest) -> list[Chunk]:
    from multiagent.llm.offline.provider import OfflineProvider

    model = ModelInfo(Endpoint("scripted", request.model), "medium", 1.0, Rates(), context=1_000_000)
    chunks = [chunk async for chunk in OfflineProvider().stream(model, request)]
    return [chunk for chunk in chunks if not isinstance(chunk, StreamEnd)]


def _said(request: ModelRequest) -> str:
    return "\n".join(message.text for message in request.messages)


async def _main(port: int, script: Script, ledger: Path | None) -> None:
    async with ScriptedVendor(script, ledger, port) as vendor:
        sys.stdout.write(f"{vendor.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="multiagent.testing.scripted", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path, help="JSON of a Script (see scripted_script)")
    parser.add_argument("--ledger", type=Path, help="append the bill to this file")
    arguments = parser.parse_args()
    script = Script() if arguments.script is None else msgspec.json.decode(arguments.script.read_bytes(), type=Script)
    try:
        asyncio.run(_main(arguments.port, script, arguments.ledger))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
