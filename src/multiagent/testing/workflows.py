"""Small workflows that suites run and replay; a module of their own, so that another process finds them."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec

from multiagent.core.errors import StepFailed
from multiagent.core.events import EventKind
from multiagent.core.retry import Backoff
from multiagent.core.step import StepDef, StepPolicy
from multiagent.engines.base import Context, Forked, Workflow


class Job(msgspec.Struct, frozen=True):
    """Input and output of everything here; ``text`` may be as long as a test wants."""

    value: int = 0
    text: str = ""


class Said(msgspec.Struct, frozen=True):
    """Payload of emits, and published state."""

    text: str


WORK: Final = StepDef("work", Job, Job, "agent")
TIDY: Final = StepDef("tidy", Job, Job, "agent")
LIMITED: Final = StepDef(
    "limited",
    Job,
    Job,
    "agent",
    StepPolicy(attempt_timeout=5, deadline=20, heartbeat=2, backoff=Backoff(base=1, most=4, jitter=0)),
)


async def _chain(ctx: Context, job: Job) -> Job:
    """``value`` steps, one after another, each given what the last one returned."""
    last = Job(0)
    for place in range(job.value):
        last = await ctx.step(WORK, Job(last.value), f"chain/{place}")
    return Job(last.value)


async def _one(ctx: Context, key: str, job: Job) -> Job:
    return await ctx.step(WORK, job, key)


async def _fan(ctx: Context, job: Job) -> Job:
    """``value`` steps at once, then one more with their sum."""
    async with ctx.group() as group:
        handles = [group.spawn(_one(ctx, f"fan/{place}", Job(place))) for place in range(job.value)]
    return await ctx.step(WORK, Job(sum(handle.result().value for handle in handles)), "fan/sum")


async def _contained(ctx: Context, job: Job) -> Job:
    """Steps at once whose failures are counted."""
    async with ctx.group() as group:
        handles = [group.spawn(_one(ctx, f"part/{place}", Job(place)), contain=True) for place in range(job.value)]
    codes = [handle.error.code for handle in handles if isinstance(handle.error, StepFailed)]
    return Job(len(codes), ",".join(codes))


async def _limited(ctx: Context, job: Job) -> Job:
    """One step with short limits."""
    return await ctx.step(LIMITED, job, "limited")


async def _sleep(ctx: Context, job: Job) -> Job:
    """Two timers of ``value`` seconds, a step between them; returns the milliseconds that passed."""
    began = ctx.now()
    await ctx.sleep(job.value)
    await ctx.step(WORK, job, "between")
    await ctx.sleep(job.value)
    return Job(ctx.now() - began)


async def _late(ctx: Context, job: Job) -> Job:
    """A step that has ``value`` seconds."""
    try:
        return await ctx.timeout(job.value, ctx.step(WORK, job, "slow"))
    except TimeoutError:
        return await ctx.step(WORK, Job(-1), "instead")


async def _hear(ctx: Context, job: Job) -> Job:
    """A step, then ``value`` signals named ``go``, in order."""
    await ctx.step(WORK, job, "before")
    heard: list[str] = []
    for _ in range(job.value):
        ctx.publish("heard", Said(" ".join(heard)))
        heard.append((await ctx.wait_signal("go")).decode())
    return Job(len(heard), " ".join(heard))


async def _tidy(ctx: Context, job: Job) -> Job:
    """Work that tidies up, also when it is cancelled."""
    try:
        return await ctx.step(WORK, job, "work")
    finally:
        ctx.emit(EventKind.AGENT_STATE, Said("tidying"))
        await ctx.step(TIDY, job, "tidy")


async def _emit(ctx: Context, job: Job) -> Job:
    """Events around steps."""
    ctx.emit(EventKind.TASK_STARTED, Said("begin"))
    for place in range(job.value):
        ctx.emit(EventKind.AGENT_STATE, Said(f"before {place}"))
        await ctx.step(WORK, Job(place), f"emit/{place}")
    ctx.emit(EventKind.TASK_COMPLETED, Said("end"))
    return job


async def _chance(ctx: Context, job: Job) -> Job:
    """Everything that could differ between two runs."""
    await ctx.step(WORK, job, ctx.uuid())
    return Job(ctx.now(), f"{ctx.uuid()} {ctx.random()} {ctx.settings.max_agents} {ctx.patched('new')}")


async def _chances(ctx: Context, job: Job) -> Job:
    """``value`` steps, each given a new name and a number by chance; returns them all."""
    said: list[str] = []
    for place in range(job.value):
        said.append(f"{ctx.uuid()}/{ctx.random()}")
        await ctx.step(WORK, Job(place, said[-1]), f"chances/{place}")
    return Job(job.value, " ".join(said))


async def _settings(ctx: Context, job: Job) -> Job:
    """``value`` steps; returns a setting as it was when each began."""
    said: list[str] = []
    for place in range(job.value):
        said.append(str(ctx.settings.max_agents))
        await ctx.step(WORK, job, f"settings/{place}")
    return Job(job.value, " ".join(said))


async def _drill_before(ctx: Context, job: Job) -> Job:
    """Two steps, as they were before a change."""
    last = await ctx.step(WORK, job, "drill/first")
    last = await ctx.step(WORK, Job(last.value), "drill/old")
    return Job(last.value, "old")


async def _drill(ctx: Context, job: Job) -> Job:
    """The same workflow after the change: runs under way keep what they did."""
    last = await ctx.step(WORK, job, "drill/first")
    if ctx.patched("better"):
        last = await ctx.step(WORK, Job(last.value), "drill/new")
        return Job(last.value, "new")
    last = await ctx.step(WORK, Job(last.value), "drill/old")
    return Job(last.value, "old")


async def _asks(ctx: Context, job: Job) -> Job:
    """Asks somebody, again where the run was forked meanwhile; ``value`` is the question that was answered."""
    place = 0
    while True:
        await ctx.step(WORK, job, f"ask/{place}")
        try:
            word = await ctx.timeout(3600, ctx.wait_signal(f"answer/{place}", crosses=False))
        except Forked:
            place += 1
        else:
            return Job(place, word.decode())


async def _broken(ctx: Context, job: Job) -> Job:
    """A defect of the workflow's own."""
    await ctx.step(WORK, job, "work")
    raise KeyError("a defect")


async def _storm(ctx: Context, job: Job) -> Job:
    """Groups in groups, timers, timeouts, signals and failures side by side: what kills are tried on."""

    async def agent(name: str) -> Job:
        last = Job(job.value)
        for turn in range(3):
            last = await ctx.step(WORK, Job(last.value), f"{name}/think/{turn}")
            async with ctx.group() as tools:
                for tool in range(2):
                    tools.spawn(_one(ctx, f"{name}/act/{turn}/{tool}", Job(tool)))
                await ctx.sleep(0.01)
        return last

    async with ctx.group() as group:
        ctx.emit(EventKind.TASK_STARTED, Said("storm"))
        agents = [group.spawn(agent(f"a{number}"), contain=True) for number in range(4)]
        first = await ctx.wait_any(agents)
        ctx.emit(EventKind.AGENT_COMPLETED, Said(f"first {first.error is None}"))
        word = await ctx.timeout(60, ctx.wait_signal("go"))
    total = sum(handle.result().value for handle in agents if handle.error is None)
    return await ctx.step(WORK, Job(total, word.decode()), "sum")


def _workflow(name: str, run: Callable[[Context, Job], Coroutine[Any, Any, Job]]) -> Workflow[Job, Job]:
    return Workflow(name, run, Job, Job)


CHAIN: Final = _workflow("chain", _chain)
FAN: Final = _workflow("fan", _fan)
CONTAINED: Final = _workflow("contained", _contained)
LIMITS: Final = _workflow("limits", _limited)
SLEEP: Final = _workflow("sleep", _sleep)
LATE: Final = _workflow("late", _late)
HEAR: Final = _workflow("hear", _hear)
TIDIES: Final = _workflow("tidies", _tidy)
EMITS: Final = _workflow("emits", _emit)
CHANCE: Final = _workflow("chance", _chance)
BROKEN: Final = _workflow("broken", _broken)
STORM: Final = _workflow("storm", _storm)
CHANCES: Final = _workflow("chances", _chances)
SETTINGS: Final = _workflow("settings", _settings)
DRILL: Final = _workflow("drill", _drill)
DRILL_BEFORE: Final = _workflow("drill", _drill_before)
ASKS: Final = _workflow("asks", _asks)
WORKFLOWS: Final[Sequence[Workflow[Any, Any]]] = (
    CHAIN, FAN, CONTAINED, LIMITS, SLEEP, LATE, HEAR, TIDIES, EMITS, CHANCE, BROKEN, STORM,
    CHANCES, SETTINGS, ASKS, DRILL,
)  # fmt: skip
