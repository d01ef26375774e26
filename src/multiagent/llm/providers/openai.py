"""Vendors that speak OpenAI's chat completions, reached by base URL and key."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

from multiagent.core.errors import (
    VendorBadResponse,
    VendorError,
    VendorRateLimited,
    VendorRejected,
    VendorTimeout,
    VendorUnauthorized,
    VendorUnavailable,
)
from multiagent.llm.base import Chunk, ModelInfo, ModelRequest
from multiagent.llm.profiles import Profile, Timeouts
from multiagent.llm.providers.http import Connections
from multiagent.llm.providers.openai_wire import ChatStream, EventLines, problem_of, wire_body

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_ERROR_BODY: Final = 4096
_QUOTA: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


class OpenAiProvider:
    """See ``llm.base.Provider``. ``base_url`` ends before ``/chat/completions``; ``key`` empty sends none.

    The key is in no message, no ``repr`` and no log.
    """

    def __init__(
        self,
        vendor: str,
        base_url: str,
        key: str,
        connections: Connections,
        profile: Profile,
        timeouts: Timeouts,
    ) -> None:
        self._vendor = vendor
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._key = key
        self._connections = connections
        self._proxy = connections.proxy(self._url)
        self._profile = profile
        self._connect_s = timeouts.connect

    async def stream(self, model: ModelInfo, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """See ``llm.base.Provider``."""
        from aiohttp import ClientConnectorError, ClientError, ClientTimeout, ConnectionTimeoutError, InvalidURL

        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            async with self._connections.session().post(
                self._url,
                data=wire_body(model, request, self._profile),
                headers=headers,
                timeout=ClientTimeout(total=None, connect=self._connect_s, sock_connect=self._connect_s),
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                if response.status != 200:
                    raise await self._refused(response)
                async for chunk in self._chunks(response):
                    yield chunk
        except ConnectionTimeoutError:
            raise self._error(VendorTimeout, f"could not be reached in {self._connect_s:g} s", sent=False) from None
        except (ClientConnectorError, InvalidURL) as error:
            raise self._error(VendorUnavailable, f"could not be reached: {error}", sent=False) from None
        except (ClientError, ConnectionError) as error:
            raise self._error(VendorUnavailable, f"broke the connection ({type(error).__name__})") from None

    async def close(self) -> None:
        """See ``llm.base.Provider``; the connections are the gate's."""

    async def _chunks(self, response: "ClientResponse") -> AsyncGenerator[Chunk, None]:
        lines, chat = EventLines(), ChatStream(self._vendor)
        async for data in response.content.iter_any():
            for line in lines.feed(data):
                for chunk in chat.feed(line):
                    yield chunk
            if chat.done:
                break
        for line in lines.rest():
            for chunk in chat.feed(line):
                yield chunk
        for chunk in chat.end(response.headers.get("x-request-id", "")):
            yield chunk

    async def _refused(self, response: "ClientResponse") -> VendorError:
        body = await response.content.read(_ERROR_BODY)
        code, said = problem_of(body)
        said = self._without_key(said) or response.reason or "no reason given"
        status = response.status
        if status in (401, 403):
            return self._error(
                VendorUnauthorized,
                f"refused the key ({status}): {said}; `multiagent doctor` names the variable to set",
                status=status,
            )
        if status == 429 and code in _QUOTA:
            return self._error(
                VendorUnauthorized,
                f"says the account has no credit left: {said}; top it up, or set another vendor's key",
                status=status,
            )
        if status == 429:
            error = self._error(
                VendorRateLimited, f"limits the rate of calls: {said}; wait, or lower task.max_agents", status=status
            )
            after = response.headers.get("retry-after", "")
            if after.replace(".", "", 1).isdigit():
                error.details["retry_after_s"] = float(after)
            return error
        if status == 408 or status >= 500:
            return self._error(
                VendorUnavailable,
                f"answered {status}: {said}; try again later, or set another vendor's key beside it",
                status=status,
            )
        if status >= 400:
            return self._error(
                VendorRejected,
                f"rejected the request ({status}): {said}; check the model's name and limits in the models file",
                status=status,
            )
        return self._error(VendorBadResponse, f"answered {status} instead of a stream", status=status)

    def _without_key(self, text: str) -> str:
        """Some vendors quote the key that they refuse."""
        return text.replace(self._key, "[key]") if self._key else text

    def _error(
        self, kind: type[VendorError], what: str, *, status: int | None = None, sent: bool = True
    ) -> VendorError:
        details: dict[str, object] = {"vendor": self._vendor}
        if status is not None:
            details["status"] = status
        if not sent:
            details["sent"] = False
        return kind(f"{self._vendor} {what}", details=details)
