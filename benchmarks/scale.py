"""What grows: the CPU of a task with the tasks a home has stored, and the bytes of a history with its tool calls.

    python -m benchmarks.scale [--jobs N] [--full]

Tasks: one real, simple task's rows are copied by SQL under new ids into homes of 1,000 and 10,000 finished tasks of one
tenant (``--full``: and of 100,000: 4 GB, two minutes). Then the job of ``benchmarks.job`` runs in all homes by turns.
History: one agent calls a tool that answers 5 KB, 50 to 200 times, each in a home of its own.
"""

import argparse
import asyncio
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.job import TEXT, Bench, InstantModel, open_bench
from multiagent.core.budget import Limit
from multiagent.core.messages import ToolCall
from multiagent.core.settings import TaskSettings
from multiagent.core.usage import Usage
from multiagent.llm.base import Chunk, ModelInfo, ModelRequest, PartDone, StreamEnd, TextDelta
from multiagent.storage.factory import DATABASE
from multiagent.tools.function import FunctionTool

STORED = (1_000, 10_000, 100_000)
CALLS = (50, 100, 150, 200)
ANSWER = 5_000
WARM_UP_JOBS = 20
"""So many that the inner pages of every index have been read, and the log of writes has been emptied once."""
SIMPLE = "What is 6 * 7?"

TIMED = {("reservations", "id"), ("reservation_scopes", "reservation"), ("usage", "id"), ("events", "id")}
"""Columns of ULIDs that are not a task's: a copy has its own time in the first ten characters."""
HASHED = {("messages", "hash"), ("messages", "parent"), ("usage", "head_hash")}
"""Columns of hashes: copies are spread over the whole index, as hashes are, but written in its order."""
COPIED = (
    "agent_executions", "budget_scopes", "commands", "completions", "event_payloads", "events", "journal", "log",
    "messages", "reservation_scopes", "reservations", "results", "task_executions", "usage",
)  # fmt: skip
HISTORY = ("journal", "events", "event_payloads", "results", "messages")
HISTORY_TOO = ("completions", "usage", "reservations", "reservation_scopes", "log", "blobs")


class Caller(InstantModel):
    """A model that calls a tool so many times, then answers."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self._calls = calls

    async def stream(self, model: ModelInfo, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """See ``llm.base.Provider``."""
        self.calls += 1
        answers = sum(message.role == "assistant" for message in request.messages)
        calls = request.purpose == "turn" and answers < self._calls
        yield PartDone(ToolCall(f"c{answers}", "look_up", f'{{"page":{answers}}}')) if calls else TextDelta(TEXT)
        yield StreamEnd("tool_calls" if calls else "stop", Usage(400, 80))


async def look_up(page: int) -> str:
    """Return a page of the register."""
    line = f"page {page}: the reading of every station, "
    return (line * (ANSWER // len(line) + 1))[:ANSWER]


def expression(database: sqlite3.Connection, table: str, column: str, task: str) -> str:
    """Return the SQL of a column's value in copy ``c.n`` of the task's row ``k``."""
    if (table, column) == ("log", "position"):
        return f"c.n * (SELECT count(*) FROM of_{table}) + k.position"
    name = f'k."{column}"'
    if (table, column) in TIMED:
        return f"substr(c.id, 1, 10) || substr({name}, 11)"
    if (table, column) in HASHED:
        return f"CASE {name} WHEN '' THEN '' ELSE c.spread || substr({name}, 9) END"
    found = f'SELECT 1 FROM of_{table} WHERE typeof("{column}") = \'text\' AND instr("{column}", ?)'
    return f"replace({name}, '{task}', c.id)" if database.execute(found, (task,)).fetchone() else name


def pattern(table: str, task: str) -> str:
    """Return the SQL of a task's rows in a table; its home has no other task."""
    where = f"WHERE instr(id, '{task}')" if table == "budget_scopes" else ""
    return f"CREATE TEMP TABLE of_{table} AS SELECT * FROM main.{table} {where}"


def fill(home: Path, task: str, count: int) -> float:
    """Make copies of the only task of a closed home, until it has ``count``; the seconds it took."""
    begun = time.perf_counter()
    database = sqlite3.connect(home / DATABASE, isolation_level=None)
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA cache_size = -200000")
    database.execute("CREATE TEMP TABLE copies (n INTEGER PRIMARY KEY, id TEXT, spread TEXT)")
    numbered = ((n, f"01K{n:07}{task[10:]}", f"{(n << 32) // count:08x}") for n in range(1, count))
    database.executemany("INSERT INTO copies VALUES (?, ?, ?)", numbered)
    database.execute("BEGIN")
    for table in COPIED:
        database.execute(pattern(table, task))
        columns = [row[1] for row in database.execute(f"PRAGMA main.table_info({table})")]
        values = ", ".join(expression(database, table, column, task) for column in columns)
        database.execute(f"INSERT INTO main.{table} SELECT {values} FROM copies c CROSS JOIN of_{table} k")
    database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return time.perf_counter() - begun


async def stored(folder: Path, count: int) -> Path:
    """Return a home with so many finished tasks, and print what it took."""
    home = folder / str(count)
    home.mkdir()
    async with open_bench(home, "NORMAL") as bench:
        task = await bench.job(SIMPLE)
    spent = fill(home, task, count)
    size = (home / DATABASE).stat().st_size
    print(f"{count:8,} stored tasks: {size / 1e6:8.1f} MB, {size / count / 1e3:.1f} KB each, filled in {spent:.1f} s")
    return home


async def opened(home: Path, stack: AsyncExitStack) -> Bench:
    """Open a home, print what that costs, and run some jobs."""
    begun = time.process_time()
    bench = await stack.enter_async_context(open_bench(home, "NORMAL"))
    print(f"{int(home.name):8,} stored tasks: opened in {(time.process_time() - begun) * 1000:.1f} CPU-ms")
    for _ in range(WARM_UP_JOBS):
        await bench.job()
    return bench


async def tasks(counts: Sequence[int], jobs: int) -> None:
    """Print the CPU of a job by the number of tasks that are stored."""
    with tempfile.TemporaryDirectory() as folder:
        homes = [await stored(Path(folder), count) for count in counts]
        taken: dict[int, list[float]] = {count: [] for count in counts}
        async with AsyncExitStack() as stack:
            benches = [await opened(home, stack) for home in homes]
            order = random.Random(1)
            turns = list(zip(counts, benches, strict=True))
            for _ in range(jobs):
                order.shuffle(turns)
                for count, bench in turns:
                    begun = time.process_time()
                    await bench.job()
                    taken[count].append((time.process_time() - begun) * 1000)
    first = statistics.median(taken[counts[0]])
    for count, every in taken.items():
        median = statistics.median(every)
        least = f"best {min(every):.2f}, {len(every)} jobs"
        print(f"{count:8,} stored tasks: {median:7.2f} CPU-ms a job, × {median / first:.3f}  aim ± 10 %  ({least})")


def sizes(home: Path) -> dict[str, int]:
    """Return the bytes of every column of every row, by table."""
    database = sqlite3.connect(home / DATABASE)
    found = {}
    for table in (*HISTORY, *HISTORY_TOO):
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        width = " + ".join(f'coalesce(length(CAST("{column}" AS BLOB)), 0)' for column in columns)
        found[table] = database.execute(f"SELECT coalesce(sum({width}), 0) FROM {table}").fetchone()[0]
    database.close()
    found["objects"] = sum(path.stat().st_size for path in home.glob("objects/**/*") if path.is_file())
    return found


async def history(calls: int) -> dict[str, int]:
    """Return the bytes that a task of so many tool calls leaves, by table."""
    settings = TaskSettings(limit=Limit(10**12, 10**18), tier="small", cache=False, max_turns=calls + 1)
    model, tool = Caller(calls), FunctionTool(look_up, group="data")
    with tempfile.TemporaryDirectory() as folder:
        async with open_bench(Path(folder), "NORMAL", model, [tool], 10**8) as bench:
            await bench.job(SIMPLE, settings)
        found = sizes(Path(folder))
    assert model.calls == calls + 1
    assert found["messages"] > calls * ANSWER, found
    return found


async def histories() -> None:
    """Print the bytes of a history by its calls, and what each table has of the longest."""
    empty, last = 0, 0
    found: dict[str, int] = {}
    for calls in CALLS:
        found = await history(calls)
        total = sum(found[table] for table in HISTORY) + found["objects"]
        more = f"{(total - last) / (calls - empty):7.0f} bytes for each of the last 50" if last else ""
        print(f"{calls:4} calls of {ANSWER} bytes: {total:9,} bytes, {total / calls:7.0f} a call  {more}")
        empty, last = calls, total
    parts = ", ".join(f"{table} {size / CALLS[-1]:.0f}" for table, size in found.items())
    print(f"     of {CALLS[-1]}, bytes a call: {parts}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=120)
    parser.add_argument("--full", action="store_true", help="100,000 tasks, too")
    parser.add_argument("--skip-tasks", action="store_true")
    given = parser.parse_args()
    asyncio.run(histories())
    if not given.skip_tasks:
        asyncio.run(tasks(STORED if given.full else STORED[:-1], given.jobs))


if __name__ == "__main__":
    main()
