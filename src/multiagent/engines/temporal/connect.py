"""The way to a Temporal server: made without it, found at the first call, found again after it was away.

A call has a deadline and is tried again for a moment; then it is EngineUnavailable, and the caller decides.
"""

import functools
import logging
import random
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

from temporalio.client import Client
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RetryConfig, RPCError

from multiagent.core.clock import Clock
from multiagent.core.errors import EngineError, EngineUnavailable, NonDeterminism
from multiagent.core.retry import Backoff
from multiagent.engines.temporal.codec import SealingCodec
from multiagent.engines.temporal.converter import converter_with
from multiagent.engines.temporal.faults import of_rpc, unreachable
from multiagent.engines.temporal.options import TemporalOptions
from multiagent.storage.objects.base import Objects

T = TypeVar("T")
CALL: Final = timedelta(seconds=10)
"""The deadline of one call of the server."""
_RETRY_MS: Final = 2000
_BACKOFF: Final = Backoff(base=0.2, most=5.0)
_CORE: Final = "temporalio.core"
_TALKATIVE: Final = (
    _CORE,
    "temporalio.activity",
    "temporalio.workflow",
    "temporalio.client",
    "temporalio.service",
    "temporalio.worker._activity",
    "temporalio.worker._replayer",
    "temporalio.worker._worker",
    "temporalio.worker._workflow",
    "temporalio.worker._workflow_instance",
)
"""Loggers whose lines may carry texts of errors and payloads."""
_PLACE: Final = re.compile(r"'(?:activity_id|activity_type|workflow_id|workflow_type|attempt)': (?:'[^']*'|\d+)")
_PLAIN: Final = (EngineError, EngineUnavailable, NonDeterminism)
"""Errors whose texts name keys of steps and what is wrong, and nothing that a run carries."""
_log = logging.getLogger("multiagent.engine")


class Link:
    """Client of one server, for calls: made at the first one, which finds the server or does not."""

    def __init__(self, options: TemporalOptions, objects: Objects) -> None:
        self.options = options
        self.codec = SealingCodec(options.key, options.old_keys, objects)
        self.converter = converter_with(self.codec)
        self._client: Client | None = None

    async def call(self, what: str, do: Callable[[Client], Awaitable[T]]) -> T:
        """Do something with the client. ``what`` names it in errors: NotFound, EngineUnavailable, EngineError."""
        try:
            if self._client is None:
                self._client = await self._connect(lazy=True)
            return await do(self._client)
        except RPCError as error:
            raise of_rpc(error, self.options.address, what) from error
        except RuntimeError as error:
            if "connect" not in str(error):
                raise
            raise unreachable(self.options.address, what) from error

    async def connected(self) -> Client:
        """Return a new client that has reached its server, as workers need one; EngineUnavailable where it has not."""
        try:
            return await self._connect(lazy=False)
        except (RPCError, RuntimeError) as error:
            raise unreachable(self.options.address, "a worker's connection") from error

    async def reach(self, clock: Clock) -> Client:
        """Return a client that has reached its server, however long that takes."""
        tries = 0
        while True:
            try:
                return await self.connected()
            except EngineUnavailable as error:
                delay = _BACKOFF.delay(tries, random.random())  # noqa: S311 — jitter, no secret
                _log.warning("%s; trying again in %.1f s", error, delay)
                await clock.sleep(delay)
                tries += 1

    async def _connect(self, *, lazy: bool) -> Client:
        return await Client.connect(
            self.options.address,
            namespace=self.options.namespace,
            api_key=self.options.api_key or None,
            tls=self.options.tls,
            data_converter=self.converter,
            retry_config=RetryConfig(max_elapsed_time_millis=_RETRY_MS),
            connect_timeout=CALL,
            lazy=lazy,
            runtime=runtime(),
        )


class Discreet(logging.Filter):
    """Lets lines through without what they carry: no texts of errors but the engine's own, no payloads, no traces."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep what happened, where, and the type of the error."""
        text = str(record.msg)
        places = ", ".join(_PLACE.findall(text))
        said = re.split(r"[:({]", text, maxsplit=1)[0].strip()
        record.msg = said + (f" ({places})" if places else "") + _named(record.exc_info)
        record.args, record.exc_info, record.exc_text, record.stack_info = (), None, None, None
        return True


def _named(raised: object) -> str:
    error = raised[1] if isinstance(raised, tuple) else None
    if error is None:
        return ""
    told = f": {error}" if type(error) in _PLAIN else ""
    return f" [{type(error).__name__}{told}]"


@functools.cache
def runtime() -> Runtime:
    """Return what all clients and workers of this process share; its own log lines go to ours, discreetly."""
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(Discreet())
    forwarding = LogForwardingConfig(
        logging.getLogger(_CORE), prepend_target_on_message=False, append_log_fields_to_message=False
    )
    levels = TelemetryFilter(core_level="WARN", other_level="ERROR")
    return Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter=levels, forwarding=forwarding)))
