"""Fifty tables nobody has seen, asked about in two languages: the facts are found, and no number is made up."""

import asyncio
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiagent.app.ask import Ask
from multiagent.app.build import open_platform
from multiagent.config.settings import Places, Settings
from tests.planted.checker import found, invented
from tests.planted.table import Table, make

TABLES = 50
LEAST = 0.95


def _seed() -> int:
    return int(os.environ.get("MULTIAGENT_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


def _written(tables: list[Table], folder: Path) -> Iterator[Ask]:
    for number, table in enumerate(tables):
        place = folder / str(number)
        place.mkdir()
        path = place / table.name
        path.write_text(table.text, "utf-8", newline="")
        yield Ask(table.query, (path,))


async def _answers(asks: list[Ask], home: Path, cache: Path) -> list[str]:
    answers: list[str] = []
    async with open_platform(Places(str(home), str(cache)), Settings(), {}) as platform:
        for ask in asks:
            task = await platform.submit(ask)
            await platform.settled(task)
            record = await platform.record(task)
            assert record.status == "completed", record.failure
            assert record.result is not None
            answers.append(record.result.text)
    return answers


@pytest.mark.requirement("A2")
@pytest.mark.timeout(900)
def test_planted_facts_are_found_and_no_number_is_invented(tmp_path: Path, sandbox_cache: Path) -> None:
    """95% of the facts asked for are in the answers; every number in them follows from its table."""
    seed = _seed()
    sys.stdout.write(f"seed {seed}: MULTIAGENT_SEED={seed} repeats this run\n")
    tables = [make(seed + number) for number in range(TABLES)]
    answers = asyncio.run(_answers(list(_written(tables, tmp_path)), tmp_path / "home", sandbox_cache))
    missed, made_up, asked = [], [], 0
    for number, (table, answer) in enumerate(zip(tables, answers, strict=True)):
        asked += len(table.facts)
        missed += [
            f"table {number} {fact.kind} {fact.must}: {fact.question}"
            for fact in table.facts
            if not found(fact, answer)
        ]
        made_up += [f"table {number}: {line}" for line in invented(answer, table)]
    sys.stdout.write(f"{asked - len(missed)} of {asked} planted facts found, {len(made_up)} numbers invented\n")
    sys.stdout.write("".join(f"{line}\n" for line in (*missed, *made_up)))
    assert made_up == []
    assert asked - len(missed) >= LEAST * asked
