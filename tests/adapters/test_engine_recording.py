"""Histories in files: written from a home, read anywhere, checked against today's code."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from multiagent.core.errors import InvalidInput, NonDeterminism, NotFound
from multiagent.core.messages import Message, Text, message_hash
from multiagent.core.travel import Changes
from multiagent.engines.base import StepInfo
from multiagent.engines.recording import check, read, record, write
from multiagent.storage.sql.ops import StoreMessage
from multiagent.testing.bench import TENANT, Bench, Gate, open_bench
from multiagent.testing.replayed import Register
from multiagent.testing.workflows import CHAIN, FAN, Job

Reading = Callable[[str, str], Awaitable[object]]


@pytest.fixture
async def bench(tmp_path: Path, register: Register) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, register) as opened:
        yield opened


async def test_a_history_survives_its_file_and_replays_without_its_home(bench: Bench) -> None:
    task = await bench.start(CHAIN, 3)
    await bench.value(task)
    kept = await record(bench.storage.reader, bench.storage.objects, TENANT, task, CHAIN)
    again = read(write(kept))
    assert again == kept
    assert (again.task, again.workflow, len(again.journal)) == (task, "chain", 4)
    assert check(again, CHAIN).ended


async def test_a_run_under_way_and_a_fork_are_exported_too(bench: Bench) -> None:
    gate = bench.code["chain/1"] = Gate()
    task = await bench.start(CHAIN, 2)
    await bench.until(lambda: gate.waiting == 1)
    await bench.rows_when(task, 1)
    under_way = await record(bench.storage.reader, bench.storage.objects, TENANT, task, CHAIN)
    assert not check(under_way, CHAIN).ended
    gate.open()
    await bench.value(task)
    await bench.engine.fork(TENANT, "fork", task, "chain/0", Changes())
    await bench.value("fork")
    fork = await record(bench.storage.reader, bench.storage.objects, TENANT, "fork", CHAIN)
    assert (fork.task, fork.start.task) == ("fork", task)
    assert check(fork, CHAIN).ended


async def test_a_run_that_goes_on_while_it_is_exported_replays(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = bench.code["chain/1"] = Gate()
    task = await bench.start(CHAIN, 2)
    await bench.rows_when(task, 1)
    reader = bench.storage.reader
    for name in ("journal", "results"):
        whole = getattr(reader, name)

        async def slow(tenant: str, task: str, whole: Reading = whole) -> object:
            found = await whole(tenant, task)
            gate.open()
            await bench.value(task)
            return found

        monkeypatch.setattr(reader, name, slow)
    kept = await record(reader, bench.storage.objects, TENANT, task, CHAIN)
    monkeypatch.undo()
    assert check(kept, CHAIN) is not None


async def test_the_messages_that_results_refer_to_come_with_it(bench: Bench) -> None:
    first = Message("user", (Text("hello"),))
    second = Message("assistant", (Text("hi"),), parent=message_hash(first))
    await bench.storage.writer.commit(*(StoreMessage(tenant=TENANT, message=one, time=1) for one in (first, second)))
    names = [message_hash(one) for one in (first, second)]

    async def refer(_info: StepInfo, _job: Job) -> Job:
        return Job(1, names[1])

    bench.code["chain/0"] = refer
    task = await bench.start(CHAIN, 1)
    await bench.value(task)
    kept = read(write(await record(bench.storage.reader, bench.storage.objects, TENANT, task, CHAIN)))
    assert kept.messages == dict(zip(names, (first, second), strict=True))
    less = await record(bench.storage.reader, bench.storage.objects, TENANT, task, CHAIN, messages=False)
    assert less.messages == {}


async def test_a_history_that_is_broken_newer_or_of_other_code_is_refused(bench: Bench) -> None:
    task = await bench.start(CHAIN, 2)
    await bench.value(task)
    kept = await record(bench.storage.reader, bench.storage.objects, TENANT, task, CHAIN)
    for data in (b"", b"{}", b"no JSON", write(kept)[:-20]):
        with pytest.raises(InvalidInput, match="no exported history"):
            read(data)
    with pytest.raises(InvalidInput, match="newer"):
        read(write(msgspec.structs.replace(kept, version=99)))
    with pytest.raises(NonDeterminism):
        check(kept, FAN)
    values = {**kept.values, "chain/0": b'{"value":40}'}
    with pytest.raises(NonDeterminism):
        check(msgspec.structs.replace(kept, values=values), CHAIN)
    with pytest.raises(NotFound):
        await record(bench.storage.reader, bench.storage.objects, TENANT, "nothing", CHAIN)
