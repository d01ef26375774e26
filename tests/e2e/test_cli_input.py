"""Bad input through the real command line: a clear error with a code, nothing lost, no traceback."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos.house import House, Run

NOWHERE = "http://127.0.0.1:9/v1"
"""Nothing listens there."""


@pytest.fixture
def house(tmp_path: Path, sandbox_cache: Path) -> House:
    """A house with the offline model."""
    house = House(tmp_path / "home", sandbox_cache, "")
    house.extra = {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": ""}
    return house


def refused(run: Run, code: int, name: str, *words: str) -> None:
    """The run ended with this exit code and told this error, with these words, without a traceback."""
    assert run.code == code, (run.out, run.err)
    assert f"error {name}" in run.err, run.err
    assert "Traceback" not in run.err + run.out
    for word in words:
        assert word in run.err, run.err


def _files(folder: Path) -> Iterator[tuple[str, Path, str]]:
    def write(name: str, data: bytes) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    yield "missing", folder / "nowhere.csv", "nowhere.csv"
    yield "a folder", folder, str(folder)
    yield "empty", write("empty.csv", b""), "empty"
    yield "binary", write("blob.csv", bytes(range(256)) * 64), "blob.csv"
    yield "wrongly encoded", write("latin.txt", "Grüße aus Köln, schöne Straße\n".encode("latin-1") * 9), "UTF-8"
    yield "a dangling link", _link(folder), "dangling.csv"


def _link(folder: Path) -> Path:
    path = folder / "dangling.csv"
    path.symlink_to(folder / "gone")
    return path


@pytest.mark.parametrize("number", range(6))
def test_a_bad_attachment_is_named_and_nothing_is_accepted(house: House, tmp_path: Path, number: int) -> None:
    """Missing, a folder, empty, binary, wrongly encoded, dangling: refused before a task exists."""
    _, path, word = list(_files(tmp_path))[number]
    refused(house.run("run", "Report on the file", "--attach", str(path)), 2, "ATTACHMENT_REJECTED", word)
    assert house.tasks() == {}


def test_a_200_mb_attachment_is_refused_without_being_read_whole(house: House, tmp_path: Path) -> None:
    """The size alone decides, and the error names the limit."""
    large = tmp_path / "large.csv"
    with large.open("wb") as file:
        file.truncate(200 << 20)
    refused(house.run("run", "Report", "--attach", str(large)), 2, "ATTACHMENT_REJECTED", "100 M")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("run", ""), "empty"),
        (("run", "  \n "), "empty"),
        (("run", "x" * 30_000), "20000"),
        (("run", "hi", "--tier", "huge"), "small, medium, large"),
        (("run", "hi", "--budget-usd", "lots"), "lots"),
        (("run", "hi", "--budget-usd", "-1"), "zero or more"),
        (("run", "hi", "--budget-tokens", "0"), "at least 1"),
        (("run", "hi", "--max-agents", "0"), "at least 1"),
        (("run",), "query"),
        (("fly",), "fly"),
        (("tasks", "list", "--status", "lost"), "quarantined"),
        (("tasks", "events", "X", "--kind", "odd"), "task.completed"),
        (("sandbox", "run", "/nowhere.py"), "/nowhere.py"),
    ],
)
def test_bad_words_are_refused_with_what_would_do(house: House, arguments: tuple[str, ...], word: str) -> None:
    """Exit code 2, the code INVALID_INPUT, and the words that help."""
    refused(house.run(*arguments), 2, "INVALID_INPUT", word)


def test_errors_are_json_where_json_is_asked_for(house: House) -> None:
    """Programs read the error from stdout."""
    run = house.run("run", "", "--json")
    error = json.loads(run.out)["error"]
    assert (run.code, error["code"], error["retryable"]) == (2, "INVALID_INPUT", False)


@pytest.mark.parametrize("command", [("tasks", "show"), ("tasks", "events"), ("tasks", "follow")])
def test_an_unknown_task_is_not_found(house: House, command: tuple[str, ...]) -> None:
    """Before the home exists, and in one that has tasks."""
    refused(house.run(*command, "01NOSUCHTASK"), 9, "NOT_FOUND", "01NOSUCHTASK")
    assert house.run("run", "What is 2 + 2?").code == 0
    refused(house.run(*command, "01NOSUCHTASK"), 9, "NOT_FOUND", "tasks list")


def test_a_setting_that_is_wrong_is_named(house: House) -> None:
    """From a variable and from the file."""
    house.extra["MULTIAGENT_TASK__MAX_AGENTS"] = "many"
    refused(house.run("run", "hi"), 2, "CONFIG_INVALID", "task.max_agents")
    house.extra.pop("MULTIAGENT_TASK__MAX_AGENTS")
    house.home.mkdir(parents=True, exist_ok=True)
    (house.home / "config.yaml").write_text("tsak:\n  max_agents: 2\n", "utf-8")
    refused(house.run("run", "hi"), 2, "CONFIG_INVALID", "tsak")


def test_a_damaged_database_is_told_and_left_alone(house: House) -> None:
    """Neither repaired in silence nor overwritten."""
    house.home.mkdir(parents=True)
    path = house.home / "multiagent.db"
    path.write_bytes(b"this is no database" * 500)
    before = path.read_bytes()
    for command in (("run", "What is 2 + 2?"), ("tasks", "list")):
        refused(house.run(*command), 7, "STORAGE_CORRUPT", "multiagent.db")
    assert path.read_bytes() == before


def test_a_newer_database_is_told_and_left_alone(house: House) -> None:
    """A home written by a later version is not touched, nor read."""
    assert house.run("run", "What is 2 + 2?").code == 0
    connection = sqlite3.connect(house.home / "multiagent.db")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    for command in (("run", "What is 2 + 2?"), ("tasks", "list")):
        refused(house.run(*command), 7, "STORAGE_NEWER", "newer")


def test_a_second_run_is_told_who_is_first_and_its_task_is_done_there(house: House) -> None:
    """The task is handed over, with the owner's pid named; the first goes on undisturbed, and readers read."""
    house.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "3"
    first = house.start("run", "What is 2 + 2?", "--json")
    _until_running(house)
    second = house.start("run", "What is 3 + 3?", "--json")
    assert house.run("tasks", "list").code == 0
    done, other = house.finish(first), house.finish(second)
    assert (done.code, other.code) == (0, 0)
    assert "4" in str(done.record["text"])
    assert "6" in str(other.record["text"])
    assert f"process {first.pid}" in other.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_task_resumable(house: House, number: signal.Signals, code: int) -> None:
    """The message names the command that goes on, and that command finishes the task."""
    house.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "2"
    process = house.start("run", "What is 2 + 2?")
    _until_running(house)
    process.send_signal(number)
    run = house.finish(process)
    (task,) = house.tasks()
    assert run.code == code
    assert f"multiagent tasks follow {task}" in run.err
    assert "Traceback" not in run.err
    house.extra["MULTIAGENT_OFFLINE__LATENCY_S"] = "0"
    follow = house.run("tasks", "follow", task, "--json")
    assert (follow.code, follow.record["status"]) == (0, "completed")
    again = house.run("tasks", "follow", task)
    assert again.code == 0
    assert "4" in again.out


def _until_running(house: House) -> None:
    """Wait, in small steps of another process's work, until a task has begun a step."""
    for _ in range(400):
        if house.in_flight():
            return
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.02)"], check=True)
    raise AssertionError("no step began")


def test_a_full_disk_loses_nothing(house: House, tmp_path: Path) -> None:
    """The task fails or waits with STORAGE_FULL; with space again it is taken up and finishes."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("a small file system can only be mounted by root on Linux")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr!r}")
    try:
        house.home = small / "home"
        assert house.run("run", "What is 2 + 2?").code == 0
        ballast = small / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        run = house.run("run", "What is 3 + 3?")
        refused(run, 7, "STORAGE_FULL", "space")
        ballast.unlink()
        assert house.run("run", "What is 4 + 4?").code == 0
        assert set(house.tasks().values()) == {"completed"}
    finally:
        subprocess.run(["umount", str(small)], check=True)
