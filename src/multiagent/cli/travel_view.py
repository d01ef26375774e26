"""A run's stops and states as lines for people. Pure."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from multiagent.app.travel import AgentMoment, Moment, Stop, Waiting
from multiagent.core.messages import Message, ToolCall, ToolResult
from multiagent.core.money import show_usd

SHOWN: Final = 1_200
"""The most characters of one input, message or output; what is longer is shown whole on demand."""

TOLD: Final = re.compile(r"plan$|budget$|agent/")
"""What a state shows in words already; everything that is published is in its JSON."""


def moment(state: Moment) -> str:
    """Return a state as lines."""
    lines = [f"task {state.task} {state.status}, at cut {state.cut} of {state.outcomes}  {clock(state.time)}"]
    if state.stop is not None:
        lines.append(f"after: {headline(state.stop)}")
    lines.append(f"budget: {spent_line(state)}")
    if state.agents:
        lines.append("agents:")
        lines.extend(f"  {_agent(one)}" for one in state.agents)
    for title, waiting in (("pending steps", state.pending), ("timers", state.timers)):
        if waiting:
            lines.append(f"{title}:")
            lines.extend(f"  {_waiting(one)}" for one in waiting)
    if state.signals:
        lines.append(f"waits for: {', '.join(state.signals)}")
    lines.extend(f"{name}: {_json(bytes(value))}" for name, value in state.published.items() if not TOLD.match(name))
    return "\n".join(lines)


def headline(stop: Stop) -> str:
    """Return a stop in one line."""
    parts = [f"#{stop.n}", stop.kind, stop.key or "-"]
    if stop.tool:
        parts.append(f"[{stop.tool}]")
    if stop.inherited:
        parts.append("inherited")
    elif stop.spent is not None:
        parts.append(f"{stop.spent.used.total:,} tokens {show_usd(stop.spent.cost_pico)}")
    if stop.failure is not None:
        parts.append(f"{stop.failure.code}: {stop.failure.message}")
    return "  ".join(parts)


def scene(stop: Stop, messages: Sequence[Message], *, whole: bool = False) -> str:
    """Return a stop with its inputs, its prompt as rendered, its output and its cost."""
    lines = [headline(stop), f"  at {clock(stop.time)}, event {stop.event_seq}"]
    if stop.kinds:
        lines.append(f"  events: {', '.join(dict.fromkeys(stop.kinds))}")
    if stop.input:
        lines.append(f"  input: {_clip(_json(stop.input), whole=whole)}")
    prompt, answer = parted(stop, messages)
    if prompt:
        lines.append(f"  prompt ({len(prompt)} messages):")
        lines.extend(f"    {line}" for message in prompt for line in message_lines(message, whole=whole))
    if answer is not None:
        lines.append("  answer:")
        lines.extend(f"    {line}" for line in message_lines(answer, whole=whole))
    if stop.output:
        lines.append(f"  output: {_clip(_json(stop.output), whole=whole)}")
    if stop.failure is not None:
        lines.append(f"  failed: {stop.failure.code}: {stop.failure.message}")
    if stop.spent is not None:
        used = stop.spent
        lines.append(
            f"  cost: {used.used.total:,} tokens (prompt {used.used.prompt:,}, output {used.used.completion:,}), "
            f"{show_usd(used.cost_pico)}, saved {show_usd(used.saved_pico)}, {used.vendor}/{used.model}"
        )
    return "\n".join(lines)


def parted(stop: Stop, messages: Sequence[Message]) -> tuple[Sequence[Message], Message | None]:
    """Return the prompt and the answer of a model's step; of any other step, nothing and the message it added."""
    if not messages:
        return (), None
    return (messages[:-1] if stop.spent is not None else ()), messages[-1]


def scene_json(stop: Stop, messages: Sequence[Message]) -> dict[str, object]:
    """Return a stop as one JSON document."""
    prompt, answer = parted(stop, messages)
    return {
        "n": stop.n,
        "kind": stop.kind,
        "key": stop.key,
        "name": stop.name,
        "time": stop.time,
        "event": stop.event_seq,
        "agent": stop.agent,
        "tool": stop.tool,
        "events": stop.kinds,
        "input": _raw(stop.input),
        "prompt": prompt,
        "answer": answer,
        "output": _raw(stop.output),
        "spent": stop.spent,
        "failure": stop.failure,
        "inherited": stop.inherited,
    }


def moment_json(state: Moment) -> dict[str, object]:
    """Return a state as one JSON document."""
    told: dict[str, object] = {name: getattr(state, name) for name in state.__struct_fields__ if name != "stop"}
    return told | {"after": scene_json(state.stop, ()) if state.stop is not None else None}


def spent_line(state: Moment) -> str:
    """Return what was used so far, beside its limits."""
    bill, limit = state.bill, state.limit
    tokens = f"{bill.usage.total:,} of {limit.tokens:,} tokens" if limit.tokens else f"{bill.usage.total:,} tokens"
    cost = show_usd(bill.cost_pico)
    cost = f"{cost} of {show_usd(limit.pico)}" if limit.pico is not None else cost
    return f"{tokens}, {cost}, {bill.model_calls} model calls"


def clock(time_ms: int) -> str:
    """Return a time (ms UTC) to the millisecond."""
    moment_of = dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC)
    return f"{moment_of:%Y-%m-%d %H:%M:%S}.{time_ms % 1000:03}Z"


def _agent(one: AgentMoment) -> str:
    after = f" after {', '.join(one.depends_on)}" if one.depends_on else ""
    doing = f" {one.doing}" if one.doing else ""
    head = f"  head {one.head[:12]}" if one.head else ""
    turn = f" turn {one.turn}" if one.turn else ""
    return (
        f"{one.agent:<4} {one.state}{doing}{turn}  {one.tokens:,} tokens {show_usd(one.cost_pico)}{head}"
        f"  {one.title}{after}"
    )


def _waiting(one: Waiting) -> str:
    return f"{one.key}  due {clock(one.due)}" if one.due else f"{one.key}  ({one.name})"


def message_lines(message: Message, *, whole: bool) -> list[str]:
    """Return a message as lines, its role first."""
    said: list[str] = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            said.append(f"calls {part.name} {part.arguments}")
        elif isinstance(part, ToolResult):
            said.append(f"{part.name} {'failed' if part.is_error else 'answered'}: {part.content}")
    text = "\n".join([*([message.text] if message.text else []), *said])
    first, *rest = _clip(text, whole=whole).splitlines() or [""]
    return [f"{message.role}: {first}", *(f"  {line}" for line in rest)]


def _clip(text: str, *, whole: bool) -> str:
    if whole or len(text) <= SHOWN:
        return text
    return f"{text[:SHOWN]} … {len(text) - SHOWN:,} characters more"


def _json(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _raw(data: bytes) -> object:
    """JSON as it is, or nothing; what is no JSON (a signal's text) as text."""
    if not data:
        return None
    try:
        msgspec.json.decode(data)
    except msgspec.MsgspecError:
        return data.decode("utf-8", "replace")
    return msgspec.Raw(data)
