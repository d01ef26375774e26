"""Random workflow programs: a small language that hypothesis writes and a workflow interprets."""

from dataclasses import dataclass

from hypothesis import strategies as st

from multiagent.core.errors import Cancelled, PlatformError
from multiagent.core.events import EventKind
from multiagent.core.step import StepDef
from multiagent.engines.base import Context, Forked
from tests.unit.engines.drive import Number, Said

STEP = StepDef("work", Number, Number, "agent")


@dataclass(frozen=True)
class Leaf:
    """step, sleep, signal, emit, name (all that differs by chance), or ask (a signal that does not cross a cut)."""

    kind: str


@dataclass(frozen=True)
class Node:
    """sequence, group, contained, race, awaited (the body awaits each child), culled (the body cancels the first),
    timeout, guarded (errors are caught), tidied (with a cleanup step) or stubborn (cancel is swallowed once).
    """

    kind: str
    parts: tuple["Leaf | Node", ...]


Program = Leaf | Node

KINDS = (
    "sequence", "group", "contained", "race", "awaited", "culled", "timeout", "guarded", "tidied", "stubborn",
)  # fmt: skip
leaves = st.sampled_from(["step", "step", "sleep", "signal", "emit", "name", "ask"]).map(Leaf)
programs: st.SearchStrategy[Program] = st.recursive(
    leaves,
    lambda inner: st.builds(
        Node,
        st.sampled_from(KINDS),
        st.lists(inner, min_size=1, max_size=4).map(tuple),
    ),
    max_leaves=14,
)


async def interpret(ctx: Context, program: Program, path: str) -> int:
    """Run a program; ``path`` makes its step keys unique."""
    if isinstance(program, Leaf):
        return await _leaf(ctx, program, path)
    kind = program.kind
    if kind in ("group", "contained", "awaited", "culled"):
        return await _group(ctx, program, path)
    if kind == "race":
        return await _race(ctx, program, path)
    if kind == "timeout":
        return await ctx.timeout(3, sequence(ctx, program, path))
    try:
        return await sequence(ctx, program, path)
    except PlatformError:
        if kind == "guarded":
            return -1
        raise
    except Cancelled:
        if kind == "stubborn":
            return (await ctx.step(STEP, Number(), f"{path}/stubborn")).value
        if kind == "tidied":
            await ctx.step(STEP, Number(), f"{path}/tidy")
        raise


async def sequence(ctx: Context, program: Node, path: str) -> int:
    """One part after another."""
    total = 0
    for place, part in enumerate(program.parts):
        total += await interpret(ctx, part, f"{path}/{place}")
    return total


async def _leaf(ctx: Context, program: Leaf, path: str) -> int:
    if program.kind == "step":
        return (await ctx.step(STEP, Number(len(path)), path)).value
    if program.kind == "sleep":
        await ctx.sleep(1)
    elif program.kind == "signal":
        return len(await ctx.wait_signal("go"))
    elif program.kind == "ask":
        try:
            return len(await ctx.wait_signal(path, crosses=False))
        except Forked:
            return (await ctx.step(STEP, Number(), f"{path}/again/{ctx.cuts}")).value
    elif program.kind == "emit":
        ctx.emit(EventKind.AGENT_STATE, Said(path))
    else:
        ctx.emit(EventKind.AGENT_STATE, Said(f"{ctx.uuid()} {ctx.random()} {ctx.now()}"))
    return 0


async def _group(ctx: Context, program: Node, path: str) -> int:
    async with ctx.group() as group:
        handles = [
            group.spawn(interpret(ctx, part, f"{path}/{place}"), contain=program.kind == "contained")
            for place, part in enumerate(program.parts)
        ]
        if program.kind == "culled":
            await ctx.step(STEP, Number(), f"{path}/cull")
            handles[0].cancel()
        if program.kind == "awaited":
            for handle in handles:
                await handle
    return sum(handle.result() for handle in handles if handle.error is None)


async def _race(ctx: Context, program: Node, path: str) -> int:
    async with ctx.group() as group:
        handles = [
            group.spawn(interpret(ctx, part, f"{path}/{place}"), contain=True)
            for place, part in enumerate(program.parts)
        ]
        first = await ctx.wait_any(handles)
        for handle in handles:
            handle.cancel()
    return int(first.result())
