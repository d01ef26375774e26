"""Pages: what a prober or a scraper reads over plain HTTP, and what a rude reader gets."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import pytest

from multiagent.core.errors import ConfigInvalid
from multiagent.telemetry.pages import HEAD_BYTES, Page, open_pages


async def hello() -> Page:
    """A page."""
    return Page(b'{"hello":1}')


async def ill() -> Page:
    """A page that says no."""
    return Page(b"{}", status=503)


async def asked(port: int, text: str) -> bytes:
    """Send a request as it is and return all that comes back."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(text.encode())
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.mark.parametrize(
    ("request_line", "status", "body"),
    [
        ("GET /hello HTTP/1.1", 200, b'{"hello":1}'),
        ("GET /hello?full=1 HTTP/1.1", 200, b'{"hello":1}'),
        ("HEAD /hello HTTP/1.1", 200, b""),
        ("GET /ill HTTP/1.1", 503, b"{}"),
        ("GET /nothing HTTP/1.1", 404, b'{"error":"Not Found"}'),
        ("POST /hello HTTP/1.1", 405, b'{"error":"Method Not Allowed"}'),
        ("nonsense", 405, b'{"error":"Method Not Allowed"}'),
    ],
)
async def test_a_page_is_answered_with_its_status_and_the_connection_closed(
    request_line: str, status: int, body: bytes
) -> None:
    async with open_pages("127.0.0.1", 0, {"/hello": hello, "/ill": ill}) as port:
        answer = await asked(port, f"{request_line}\r\nHost: here\r\n\r\n")
    head, _, rest = answer.partition(b"\r\n\r\n")
    headers: Mapping[bytes, bytes] = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert int(head.split()[1]) == status
    assert rest == body
    assert headers[b"Connection"] == b"close"
    assert int(headers[b"Content-Length"]) == len(body) or request_line.startswith("HEAD")


async def test_a_reader_that_talks_too_much_or_leaves_gets_nothing_and_others_go_on() -> None:
    async with open_pages("127.0.0.1", 0, {"/hello": hello}) as port:
        assert await asked(port, "GET /" + "x" * 2 * HEAD_BYTES) == b""
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /he")
        writer.close()
        assert b'{"hello":1}' in await asked(port, "GET /hello HTTP/1.1\r\n\r\n")


async def test_a_reader_that_still_talks_does_not_hold_up_the_end() -> None:
    async with asyncio.timeout(30):
        async with open_pages("127.0.0.1", 0, {"/hello": hello}) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /he")
            await writer.drain()
            await asked(port, "GET /hello HTTP/1.1\r\n\r\n")
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_a_port_that_is_taken_is_a_sentence_that_says_what_to_do() -> None:
    async with open_pages("127.0.0.1", 0, {}) as port:
        with pytest.raises(ConfigInvalid, match=f"port {port} of 127.0.0.1 cannot be listened on"):
            async with open_pages("127.0.0.1", port, {}):
                pass
