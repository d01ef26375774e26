"""Makes golden histories of the engine on Temporal: ``make golden`` keeps one run of each kind and mode, recorded by a
real server and sealed with a test key, with what is kept beside it, in ``golden_temporal/``.
"""

import asyncio
import contextlib
import sys
import tempfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from temporalio.api.history.v1 import History
from temporalio.client import WorkflowFailureError, WorkflowHistory

from multiagent.agents import calls as agent
from multiagent.app.system import SystemClock, SystemIds
from multiagent.core.outcome import Failure, Outcome
from multiagent.core.plan import AskedStrategy
from multiagent.core.step import Queue, StepDef
from multiagent.core.task import TaskResult
from multiagent.core.usage import Bill
from multiagent.engines.actions import RunStep
from multiagent.engines.base import Engine, Step, StepInfo, Workflow
from multiagent.engines.factory import EngineParts, open_temporal, open_workers
from multiagent.engines.kernel import encode
from multiagent.engines.temporal.codec import TENANT as KEPT
from multiagent.engines.temporal.codec import SealingCodec
from multiagent.engines.temporal.connect import Link
from multiagent.engines.temporal.converter import converter_with
from multiagent.engines.temporal.history import begin_of, compare_fed, fed_by, histories
from multiagent.engines.temporal.launching import begin_of as beginning
from multiagent.engines.temporal.launching import end_run, launch
from multiagent.engines.temporal.options import TemporalOptions
from multiagent.orchestrator import calls
from multiagent.orchestrator.workflows import TASK
from multiagent.storage.factory import Storage, open_storage
from multiagent.storage.objects.local import LocalObjects
from multiagent.testing.bench import TENANT, Gate
from multiagent.testing.bench_temporal import KEY, TemporalBench, open_temporal_bench
from multiagent.testing.replayed import Register
from multiagent.testing.replayer import find
from multiagent.testing.servers.temporal import TemporalServer
from multiagent.testing.workflows import CHAIN, EMITS, Job
from tests.replay.golden import RUNS, drive
from tests.unit.orchestrator.task_drive import Script, script, task
from tests.unit.orchestrator.test_orchestrator_strategies import NO, YES, reviewed

FOLDER: Final = Path(__file__).with_name("golden_temporal")
SUFFIX: Final = ".history"
GUARD_S: Final = 120
SERVICES: Final[tuple[Queue, ...]] = ("orchestrator", "agent", "llm")
STEPS: Final[tuple[StepDef[Any, Any], ...]] = (
    agent.THINK, agent.REVIEW, agent.EMPLOY, agent.CHECK, agent.RUN, agent.ASK, agent.EXPIRE,
    calls.ANALYZE, calls.DECOMPOSE, calls.SYNTHESIZE, calls.FINISH, calls.PLANNED, calls.ASK_PLAN,
)  # fmt: skip


class Golden(msgspec.Struct, frozen=True):
    """One run: its histories as the server has them, the newest first, what of their payloads is kept beside them, and
    its journal. ``module`` holds the workflow's code.
    """

    module: str
    workflow: str
    task: str
    histories: tuple[bytes, ...]
    kept: tuple[bytes, ...]
    journal: tuple[Outcome, ...]


class Mode(msgspec.Struct, frozen=True):
    """A mode of the product's task: its settings, what its steps answer, and what a person says."""

    answers: Script
    settings: dict[str, Any] = {}
    word: agent.Word | None = None
    cancel: bool = False


def _later() -> int:
    return SystemClock().now() + 3_600_000


def _asks_first() -> Script:
    """A plan that a person is asked about, then a tool call that a person is asked about."""
    answers: dict[str, Any] = {
        "plan__ask": lambda _: agent.AskOutput("plan", _later()),
        "a__t1__act__1__0__check": agent.CheckOutput("approve", "hash"),
        "a__t1__act__1__0__ask": lambda _: agent.AskOutput("tool", _later()),
    }
    return script(mode="simple", **answers)


def _strategy(name: AskedStrategy) -> dict[str, Any]:
    return {"strategy": name}


APPROVED: Final = agent.Word(approved=True, by="user")
MODES: Final[dict[str, Mode]] = {
    "task-simple": Mode(script(mode="simple")),
    "task-standard": Mode(script(mode="standard")),
    "task-complex": Mode(script(mode="complex", acts=2)),
    "task-collaborative": Mode(reviewed(NO, YES), _strategy("collaborative")),
    "task-iterative": Mode(reviewed(NO, YES), _strategy("iterative")),
    "task-planned": Mode(script(planned=lambda _: TaskResult("", bill=Bill())), {"plan_only": True}),
    "task-approved": Mode(_asks_first(), {"require_approval": True}, APPROVED),
    "task-rejected": Mode(_asks_first(), {"require_approval": True}, agent.Word(approved=False, by="user")),
    "task-partial": Mode(script(a__t2__think__1=Failure("VENDOR_FAILED", "no"))),
    "task-failed": Mode(script(mode="simple", a__t1__think__1=Failure("VENDOR_FAILED", "no"))),
    "task-cancelled": Mode(script(a__t1__think__1=None), cancel=True),
}
NAMES: Final = (*RUNS, "continued", "large", *MODES)


class Recorder:
    """One run on a real server, kept with everything that replays it."""

    def __init__(self, home: Path, link: Link, storage: Storage) -> None:
        self._home = home
        self._link = link
        self._storage = storage

    async def keep(self, tenant: str, task_id: str, workflow: Workflow[Any, Any]) -> Golden:
        """Return a run that has ended, once it has on the server, too."""
        client = await self._link.connected()
        with contextlib.suppress(WorkflowFailureError):  # that is an end, too
            await client.get_workflow_handle(task_id).result()
        found = [one async for one in histories(self._link, task_id)]
        kept = [path.read_bytes() for path in sorted((self._home / "objects" / KEPT).rglob("*")) if path.is_file()]
        return Golden(
            str(getattr(workflow.run, "__module__", "")),
            workflow.name,
            task_id,
            tuple(History(events=one.events).SerializeToString() for one in found),
            tuple(kept),
            await self._storage.reader.journal(tenant, task_id),
        )


async def _small(home: Path, server: TemporalServer, name: str) -> Golden:
    """One of the small workflows."""
    async with open_temporal_bench(home, Register(home), server) as bench:
        recorder = Recorder(home, Link(bench.options, bench.storage.objects), bench.storage)
        if name == "continued":
            return await recorder.keep(TENANT, await _continued(bench), EMITS)
        if name == "large":
            bench.code["chain/0"] = _large
            ended = await bench.start(CHAIN, 2)
            await bench.value(ended)
            return await recorder.keep(TENANT, ended, CHAIN)
        return await recorder.keep(TENANT, await drive(bench, name, push=0), RUNS[name][0])


async def _large(_info: StepInfo, job: Job) -> Job:
    return Job(job.value + 1, "x" * 300_000)


async def _continued(bench: TemporalBench) -> str:
    gate = bench.code["emit/0"] = Gate()
    begun = await bench.start(EMITS, 12)
    await bench.until(lambda: gate.waiting == 1)
    link = Link(bench.options, bench.storage.objects)
    await end_run(link, begun, "goes on in short histories")
    row = await bench.storage.reader.task(TENANT, begun)
    assert row is not None
    gate.open()
    await launch(link, "emits", msgspec.structs.replace(beginning(row, 0), most_events=40), again=True)
    await bench.value(begun)
    return begun


async def _product(home: Path, server: TemporalServer, mode: Mode) -> Golden:
    """The product's own task, its steps scripted."""
    options = TemporalOptions(server.address, await server.namespace(), "golden", KEY)
    clock, ids = SystemClock(), SystemIds()
    async with open_storage(home, clock=clock, ids=ids, synchronous="NORMAL") as storage:
        parts = EngineParts(storage.writer, storage.reader, storage.objects, clock, ids)
        steps = [Step(one, _scripted(one, mode.answers)) for one in STEPS]
        async with (
            open_workers(options, parts, [TASK], steps, SERVICES),
            open_temporal(options, parts, [TASK]) as engine,
        ):
            given = task(**mode.settings)
            await engine.start("local", given.task, TASK.name, encode(given))
            async with asyncio.timeout(GUARD_S):
                await _steer(engine, mode, given.task)
                await engine.result("local", given.task)
            return await Recorder(home, Link(options, storage.objects), storage).keep("local", given.task, TASK)


async def _steer(engine: Engine, mode: Mode, task_id: str) -> None:
    if mode.word is not None:
        for approval in ("plan", "tool"):
            await engine.signal("local", task_id, f"approval/{approval}", encode(mode.word), approval)
    if mode.cancel:
        while not await engine.history("local", task_id):  # noqa: ASYNC110 — it tells nobody
            await asyncio.sleep(0.05)
        await engine.cancel("local", task_id, "not needed")


def _scripted(definition: StepDef[Any, Any], answers: Script) -> Callable[[StepInfo, Any], Awaitable[Any]]:
    async def code(info: StepInfo, given: Any) -> Any:
        found = answers(RunStep(info.key, info.key, definition, given, encode(given), ""))
        if isinstance(found, Failure):
            raise found.error()
        return await asyncio.Event().wait() if found is None else found

    return code


async def make(name: str, server: TemporalServer, folder: Path) -> None:
    """Record one run and keep it."""
    with tempfile.TemporaryDirectory() as home:
        path = Path(home)
        made = await (_product(path, server, MODES[name]) if name in MODES else _small(path, server, name))
    (folder / f"{name}{SUFFIX}").write_bytes(zlib.compress(msgspec.msgpack.encode(made), 9))


def read(path: Path) -> Golden:
    """Return what a file holds."""
    return msgspec.msgpack.decode(zlib.decompress(path.read_bytes()), type=Golden)


@asynccontextmanager
async def opened(golden: Golden, home: Path) -> AsyncIterator[tuple[Any, Workflow[Any, Any], list[WorkflowHistory]]]:
    """What replays a golden run: how its payloads are read, its workflow, its histories."""
    objects = LocalObjects(home)
    for kept in golden.kept:
        await objects.put(KEPT, kept)
    found = [History.FromString(one).events for one in golden.histories]
    yield (
        converter_with(SealingCodec(KEY, (), objects)),
        find(golden.module, golden.workflow),
        [WorkflowHistory(golden.task, list(events)) for events in found],
    )


async def check(golden: Golden, home: Path, tamper: Callable[[WorkflowHistory], None] = lambda _: None) -> None:
    """Replay a golden run with today's code by Temporal's own means, and compare what it fed with its journal."""
    fed: dict[int, Outcome] = {}
    first = 1
    async with opened(golden, home) as (converter, workflow, found):
        tamper(found[0])
        for history in found:
            fed |= await fed_by(converter, history, {workflow.name: workflow})
            first = (await begin_of(converter, history)).rows + 1
    compare_fed(golden.task, fed, golden.journal, first)


def main(names: tuple[str, ...]) -> None:
    """Record the runs of these names, all of them where there are none."""
    FOLDER.mkdir(exist_ok=True)
    server = TemporalServer()
    try:
        for name in names or NAMES:
            asyncio.run(make(name, server, FOLDER))
            print(name, (FOLDER / f"{name}{SUFFIX}").stat().st_size)
    finally:
        server.close()


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
