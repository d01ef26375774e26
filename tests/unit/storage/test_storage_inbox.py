"""The file where processes that do not own a home leave commands."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from multiagent.core.errors import StorageCorrupt, StorageNewer
from multiagent.storage.factory import INBOX, open_inbox
from multiagent.storage.sql.base import CommandRow, Inbox


def row(identity: str, time: int = 1, task: str = "t") -> CommandRow:
    return CommandRow("local", identity, task, "cancel", b"enough", b"{}", time)


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    async with open_inbox(tmp_path) as inbox:
        yield inbox


async def test_commands_wait_oldest_first_until_they_are_removed(inbox: Inbox) -> None:
    for one in (row("b", 2), row("a", 2), row("c", 1)):
        await inbox.put(one)
    assert [one.id for one in await inbox.waiting()] == ["c", "a", "b"]
    await inbox.remove([row("a", 2), row("unknown")])
    assert await inbox.waiting() == (row("c", 1), row("b", 2))


async def test_a_known_id_is_left_as_it_is(inbox: Inbox) -> None:
    await inbox.put(row("a"))
    await inbox.put(row("a", task="other"))
    assert await inbox.waiting() == (row("a"),)


async def test_the_owner_hears_of_another_writer(inbox: Inbox, tmp_path: Path) -> None:
    assert inbox.changed()
    assert not inbox.changed()
    async with open_inbox(tmp_path) as other:
        await other.put(row("a"))
        assert inbox.changed()
        assert not inbox.changed()


async def test_processes_write_at_the_same_time_and_none_is_lost(inbox: Inbox, tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from multiagent.storage.factory import open_inbox\n"
        "from multiagent.storage.sql.base import CommandRow\n"
        "async def main():\n"
        "    async with open_inbox(Path(sys.argv[1])) as inbox:\n"
        "        for n in range(20):\n"
        "            await inbox.put(CommandRow('local', f'{sys.argv[2]}-{n}', 't', 'cancel', b'', b'', n))\n"
        "asyncio.run(main())\n"
    )
    running = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path), str(number))
        for number in range(3)
    ]
    async with asyncio.timeout(60):
        assert [await process.wait() for process in running] == [0, 0, 0]
    assert len(await inbox.waiting()) == 60


@pytest.mark.parametrize(
    ("pragma", "error"), [("user_version = 9", StorageNewer), ("application_id = 7", StorageCorrupt)]
)
async def test_a_file_of_a_newer_or_another_program_is_told_and_left_alone(
    tmp_path: Path, pragma: str, error: type[Exception]
) -> None:
    async with open_inbox(tmp_path) as inbox:
        await inbox.put(row("a"))
    connection = sqlite3.connect(tmp_path / INBOX)
    connection.execute(f"PRAGMA {pragma}")
    connection.close()
    async with open_inbox(tmp_path) as inbox:
        with pytest.raises(error):
            await inbox.waiting()
