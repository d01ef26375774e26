"""One shared pool of connections to vendors, opened at the first call."""

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from aiohttp import ClientSession

_CONNECTIONS: Final = 256


class Connections:
    """The HTTP session that all vendors of a gate share; it belongs to one event loop and closes with its block.

    ``environment`` names proxies in the usual variables (``HTTPS_PROXY``, ``HTTP_PROXY``, ``NO_PROXY``).
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._session: ClientSession | None = None
        self._environment = dict(environment or {})

    def proxy(self, url: str) -> str | None:
        """Return the proxy to reach a URL through, None for none."""
        scheme = url.partition(":")[0].lower()
        proxy = self._variable(f"{scheme}_proxy")
        if not proxy:
            return None
        from urllib.parse import urlsplit

        host = f".{urlsplit(url).hostname or ''}"
        for name in self._variable("no_proxy").lower().split(","):
            if name.strip() == "*" or (name.strip() and host.endswith(f".{name.strip().lstrip('.')}")):
                return None
        return proxy if "://" in proxy else f"http://{proxy}"

    def _variable(self, name: str) -> str:
        return self._environment.get(name) or self._environment.get(name.upper()) or ""

    def session(self) -> "ClientSession":
        """Return the session, making it at the first call.

        It reads no environment of its own: aiohttp's ``trust_env`` looks into a netrc file before every request.
        """
        if self._session is None or self._session.closed:
            from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

            self._session = ClientSession(
                connector=TCPConnector(limit=_CONNECTIONS, ttl_dns_cache=300),
                timeout=ClientTimeout(total=None),
                cookie_jar=DummyCookieJar(),
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
