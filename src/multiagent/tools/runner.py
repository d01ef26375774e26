"""The only way to run a tool: schema → policy → approval and intent → the tool, bounded → labels."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from multiagent.core.breaker import Breaker, BreakerPolicy
from multiagent.core.canonical import digest, digest_bytes
from multiagent.core.clock import Clock
from multiagent.core.decision import Decide, ToolAsk
from multiagent.core.errors import (
    BreakerOpen,
    EffectUnknown,
    PlatformError,
    PolicyDenied,
    SandboxError,
    SandboxUnbuilt,
    ToolArguments,
    ToolError,
    ToolTimeout,
)
from multiagent.core.label import Labels, join
from multiagent.core.principal import Principal
from multiagent.core.retry import Backoff
from multiagent.core.tool import ToolSpec
from multiagent.storage.sql.base import Writer
from multiagent.tools.answer import MOST_BYTES, finish
from multiagent.tools.base import Checked, Tool, ToolContext, ToolOutput, ToolRequest
from multiagent.tools.intent import Intents
from multiagent.tools.registry import Registry

_LOG: Final = logging.getLogger(__name__)
_DOMAIN: Final = "multiagent.arguments.v1"
_MOST_ARGUMENTS: Final = 1 << 20


class RunnerOptions(msgspec.Struct, frozen=True):
    """How runs are bounded and tried again; ``chance`` gives numbers in [0, 1) for the jitter."""

    output_bytes: int = MOST_BYTES
    attempts: int = 3
    backoff: Backoff = Backoff()
    breaker: BreakerPolicy = BreakerPolicy()
    chance: Callable[[], float] = lambda: 0.5


class _Call(msgspec.Struct, frozen=True):
    """A request that fits its tool: what to run, and what to ask policy."""

    tool: Tool
    arguments: bytes
    labels: Labels
    ask: ToolAsk


class ToolRunner:
    """Checks and runs the tools of a registry; owns one breaker a tool."""

    def __init__(
        self, registry: Registry, decide: Decide, writer: Writer, clock: Clock, options: RunnerOptions | None = None
    ) -> None:
        self._registry = registry
        self._decide = decide
        self._intents = Intents(writer, clock)
        self._clock = clock
        self._options = options or RunnerOptions()
        self._breakers = {tool.spec.name: Breaker(f"tool {tool.spec.name}", self._options.breaker) for tool in registry}

    def specs(self, principal: Principal, names: tuple[str, ...] = ()) -> tuple[ToolSpec, ...]:
        """Return the tools of those names (all where empty), in one order; ToolUnknown names a missing one."""
        wanted = {self._registry.get(name).spec.name for name in names}
        return tuple(tool.spec for tool in self._registry if not names or tool.spec.name in wanted)

    async def check(self, request: ToolRequest, context: ToolContext) -> Checked:
        """Schema, then policy. Never raises for what the model wrote: bad arguments are ``invalid``."""
        try:
            call = self._read(request, context)
        except ToolError as error:
            return Checked(
                "invalid", digest_bytes(_DOMAIN, request.arguments.encode("utf-8", "surrogatepass")), (error.message,)
            )
        decision = await self._decide(call.ask)
        if not decision.allow:
            return Checked("deny", call.ask.arguments_hash, decision.reasons)
        if _repeats(call.ask, context):
            said = f"task {context.forked_from}, which this one is a fork of, may have done this already"
            return Checked("approve", call.ask.arguments_hash, (*decision.reasons, said))
        return Checked("approve" if decision.needs_approval else "allow", call.ask.arguments_hash, decision.reasons)

    async def run(self, request: ToolRequest, context: ToolContext, checked: Checked) -> ToolOutput:
        """Check the hash and policy again, consume the approval with the intent, run, label, record.

        Raises PolicyDenied, EffectUnknown, SandboxUnbuilt and StorageError's children; a tool's own failure is an
        output with ``is_error``.
        """
        try:
            call = self._read(request, context)
        except ToolError as error:
            return finish(_failed(error), "", context.labels)
        if call.ask.arguments_hash != checked.arguments_hash:
            raise PolicyDenied(f"the arguments of {request.name} are not those that were checked; check them again")
        decision = await self._decide(call.ask)
        if not decision.allow:
            raise PolicyDenied(
                f"policy denies {request.name}: {'; '.join(decision.reasons)}",
                details={"reasons": list(decision.reasons)},
            )
        breaker = self._breakers[request.name]
        try:
            generation = breaker.before(self._clock.monotonic())
        except BreakerOpen as error:
            return finish(_failed(error), "", call.labels)
        works = None
        try:
            output, works = await self._run(
                call, context, approval=decision.needs_approval or _repeats(call.ask, context)
            )
        finally:
            if works is None:
                breaker.release(generation)
            else:
                breaker.after(generation, success=works, now=self._clock.monotonic())
        return output

    def _read(self, request: ToolRequest, context: ToolContext) -> _Call:
        """Return the request as a call; ToolUnknown or ToolArguments say what is wrong with it."""
        tool = self._registry.get(request.name)
        arguments = request.arguments.strip().encode("utf-8", "surrogatepass") or b"{}"
        if len(arguments) > _MOST_ARGUMENTS:
            raise ToolArguments(f"the arguments have {len(arguments)} bytes; at most {_MOST_ARGUMENTS} are read")
        try:
            value = msgspec.json.decode(arguments)
            hashed = digest(_DOMAIN, [request.name, value])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise ToolArguments(f"the arguments are not JSON: {error}") from error
        if not isinstance(value, dict):
            raise ToolArguments("the arguments are not a JSON object")
        inspected = self._registry.inspect(request.name, arguments, context)
        labels = join(context.labels, inspected.labels)
        spec = tool.spec
        ask = ToolAsk(context.principal, spec.name, spec.group, spec.idempotent, hashed, labels, inspected.code)
        return _Call(tool, arguments, labels, ask)

    async def _run(self, call: _Call, context: ToolContext, *, approval: bool) -> tuple[ToolOutput, bool | None]:
        """Return the output, and whether the tool works (None where it was not tried)."""
        earlier = await self._intents.claim(call.ask, context, approval=approval)
        if earlier is not None:
            return earlier, None
        begun = self._clock.monotonic()
        output, works = await self._attempts(call, context)
        metrics = {**output.metrics, "tool_ms": round((self._clock.monotonic() - begun) * 1000, 3)}
        output = finish(
            msgspec.structs.replace(output, metrics=metrics), call.ask.group, call.labels, self._options.output_bytes
        )
        await self._intents.resolve(call.ask, context, output)
        return output, works

    async def _attempts(self, call: _Call, context: ToolContext) -> tuple[ToolOutput, bool]:
        """Try until the tool answers, fails for good, or attempts and time are used up."""
        attempt = 0
        while True:
            try:
                return await self._attempt(call, context), True
            except SandboxUnbuilt:
                raise
            except (ToolError, SandboxError) as error:
                unsure = error.retryable or isinstance(error, ToolTimeout)
                if unsure and not call.ask.idempotent:
                    raise _unknown(call, error) from error
                attempt += 1
                if not error.retryable or attempt >= self._options.attempts:
                    return _failed(error), not unsure
            except PlatformError:
                raise
            except Exception as error:
                _LOG.exception("tool %s failed", call.ask.tool)
                if not call.ask.idempotent:
                    raise _unknown(call, error) from error
                return ToolOutput(f"Error: {type(error).__name__}: {error}", is_error=True), False
            await self._clock.sleep(self._options.backoff.delay(attempt - 1, self._options.chance()))

    async def _attempt(self, call: _Call, context: ToolContext) -> ToolOutput:
        left = (context.deadline - self._clock.now()) / 1000
        seconds = min(call.tool.spec.timeout_s, left)
        if seconds <= 0:
            raise ToolTimeout(f"no time is left to run {call.ask.tool}: its step's deadline has passed")
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                return await call.tool.execute(call.arguments, context)
        except TimeoutError:
            if not scope.expired():
                raise
            raise ToolTimeout(f"{call.ask.tool} did not finish within {seconds:g} s") from None


def _repeats(ask: ToolAsk, context: ToolContext) -> bool:
    """Whether an effect might happen a second time: in a fork, what is not idempotent needs a person's word."""
    return bool(context.forked_from) and not ask.idempotent


def _failed(error: PlatformError) -> ToolOutput:
    return ToolOutput(f"Error: {error.message}", is_error=True)


def _unknown(call: _Call, error: Exception) -> EffectUnknown:
    return EffectUnknown(
        f"{call.ask.tool} was interrupted ({error}); whether it took effect is not known. Find out, then decide.",
        details={"tool": call.ask.tool, "arguments_hash": call.ask.arguments_hash},
    )
