"""Sessions through the assembled platform, on the offline model."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from multiagent.app.ask import Ask
from multiagent.app.build import LOCAL_USER, Platform, open_platform
from multiagent.config.settings import Places, SessionSettings, Settings, StorageSettings
from multiagent.core.errors import InvalidInput
from multiagent.core.label import UNTRUSTED
from multiagent.core.principal import Principal
from multiagent.core.task import TaskInput
from multiagent.llm.gate_estimate import estimate_text
from multiagent.memory.compaction import Shown
from multiagent.orchestrator.handover import Handover

MOST = 900


@pytest.fixture
async def platform(tmp_path: Path, sandbox_cache: Path) -> AsyncIterator[Platform]:
    settings = Settings(session=SessionSettings(max_tokens=MOST), storage=StorageSettings(synchronous="NORMAL"))
    async with open_platform(Places(str(tmp_path / "home"), str(sandbox_cache)), settings, {}) as platform:
        yield platform


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    path.write_text("store,amount\nwest,35\neast,10\neast,20\n", "utf-8")
    return path


async def answer(platform: Platform, ask: Ask) -> tuple[str, TaskInput]:
    """Do a task; return its answer and what it was accepted with."""
    task = await platform.submit(ask)
    await platform.settled(task)
    record = await platform.record(task)
    assert record.result is not None, record.failure
    row = await platform._storage.reader.task("local", task)
    assert row is not None
    return record.result.text, msgspec.json.decode(row.input, type=TaskInput)


async def told(platform: Platform, given: TaskInput) -> Shown | None:
    """What a task was told of its session."""
    if not given.context:
        return None
    (message,) = await platform._storage.reader.chain("local", given.context)
    assert estimate_text(message.text) <= MOST
    assert UNTRUSTED in message.labels
    return msgspec.json.decode(message.text, type=Shown)


@pytest.mark.requirement("C7", "S.orchestrator.sessions", "S.cost.session-reuse")
async def test_forty_tasks_stay_under_the_limit_and_the_first_is_remembered(platform: Platform, table: Path) -> None:
    """Every task is told at most the stated tokens; a question about task 1 gets task 1's facts, by number or words."""
    _, first = await answer(platform, Ask("Which store has the largest total amount?", (table,), session="s"))
    assert await told(platform, first) is None
    for number in range(2, 41):
        text, given = await answer(platform, Ask(f"What is {number} * 17?", session="s"))
        assert str(number * 17) in text
        shown = await told(platform, given)
        assert shown is not None
        assert len(shown.turns) + shown.left_out == number - 1
    for query in ("What was the answer to my first question?", "Which store had the largest total amount?"):
        text, given = await answer(platform, Ask(query, session="s"))
        await told(platform, given)
        assert "question 1" in text
        assert "largest is **west** with 35" in text


async def test_files_of_a_session_are_used_again_by_name(platform: Platform, table: Path) -> None:
    """By the query, or as an attachment; the same bytes, although the file has changed since."""
    _, first = await answer(platform, Ask("How many rows are there?", (table,), session="s"))
    table.write_text("store,amount\nwest,1\n", "utf-8")
    text, given = await answer(platform, Ask("How many rows does sales.csv have?", session="s"))
    assert given.attachments == first.attachments
    assert "3 rows" in text
    _, by_name = await answer(platform, Ask("What is the mean amount?", session="s", recalled=("sales.csv",)))
    assert by_name.attachments == first.attachments
    _, anew = await answer(platform, Ask("How many rows does sales.csv have?", (table,), session="s"))
    assert [one.object for one in anew.attachments] != [one.object for one in first.attachments]
    for wrong in (Ask("q", session="s", recalled=("other.csv",)), Ask("q", recalled=("sales.csv",))):
        with pytest.raises(InvalidInput, match="no such file"):
            await platform.submit(wrong)


async def test_sessions_are_apart_and_their_users_own(platform: Platform, table: Path) -> None:
    await answer(platform, Ask("What is 2 * 3?", session="one"))
    _, other = await answer(platform, Ask("What was the answer to my first question?", session="two"))
    _, none = await answer(platform, Ask("What was the answer to my first question?"))
    assert (other.context, none.context) == ("", "")
    recall = platform._service.recall
    assert recall is not None
    with pytest.raises(InvalidInput, match="another user's"):
        await recall(Principal("local", "eve"), Handover("q", session="one"))
    with pytest.raises(InvalidInput, match="no session's name"):
        await recall(LOCAL_USER, Handover("q", session="../one"))


async def test_what_a_task_is_told_is_never_its_senders_choice(platform: Platform) -> None:
    """A context that comes with a task is dropped, in a session or without one."""
    recall = platform._service.recall
    assert recall is not None
    for given in (Handover("q", context="ab" * 32), Handover("q", session="fresh", context="ab" * 32)):
        assert (await recall(LOCAL_USER, given)).context == ""
