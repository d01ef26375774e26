"""One shared pool of connections to vendors, opened at the first call."""

from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from aiohttp import ClientSession

_CONNECTIONS: Final = 256


class Connections:
    """The HTTP session that all vendors of a gate share; it belongs to one event loop and closes with its block."""

    def __init__(self) -> None:
        self._session: ClientSession | None = None

    def session(self) -> "ClientSession":
        """Return the session, making it at the first call; proxies of the environment are honoured."""
        if self._session is None or self._session.closed:
            from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

            self._session = ClientSession(
                connector=TCPConnector(limit=_CONNECTIONS, ttl_dns_cache=300),
                timeout=ClientTimeout(total=None),
                cookie_jar=DummyCookieJar(),
                trust_env=True,
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
