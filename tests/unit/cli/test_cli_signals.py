"""What signals do to a process of the command line."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import product

import pytest

from multiagent.cli.signals import NUMBERS

STUBBORN = """
import asyncio
from multiagent.cli import signals

async def work():
    print("working", flush=True)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        if {stubborn}:
            await asyncio.Event().wait()
        raise

signals.catch()
raise SystemExit(asyncio.run(signals.until_stopped(work())))
"""
LOADING = """
import threading
from multiagent.cli import signals

signals.catch()
print("loading", flush=True)
threading.Event().wait(60)
"""
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Child:
    """A process that says on stdout how far it is."""

    def __init__(self, code: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ends(self) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


@pytest.fixture
def child(request: pytest.FixtureRequest) -> Iterator[Child]:
    started = Child(request.param)
    yield started
    started.process.kill()
    started.process.communicate(timeout=60)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("child", [LOADING], indirect=True)
def test_a_signal_while_the_program_loads_ends_it_with_its_code_and_no_traceback(
    child: Child, number: signal.Signals
) -> None:
    assert child.says() == "loading"
    child.process.send_signal(number)
    assert child.ends() == (CODES[number], "")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("child", [STUBBORN.format(stubborn=False)], indirect=True)
def test_a_signal_while_work_is_under_way_cancels_it_and_waits_for_its_end(
    child: Child, number: signal.Signals
) -> None:
    assert child.says() == "working"
    child.process.send_signal(number)
    assert child.says() == "cancelled"
    assert child.ends() == (CODES[number], "")


@pytest.mark.parametrize("child", [STUBBORN.format(stubborn=True)], indirect=True)
def test_a_second_signal_ends_the_process_at_once(child: Child) -> None:
    """Whatever is still being put in order."""
    assert child.says() == "working"
    child.process.send_signal(signal.SIGINT)
    assert child.says() == "cancelled"
    child.process.send_signal(signal.SIGINT)
    assert child.ends() == (130, "")


@pytest.mark.parametrize(
    ("name", "number"),
    [("signal", signal.SIGINT), *product(("multiagent.cli.commands", "multiagent.cli.signals", "typer"), CODES)],
)
def test_a_signal_while_the_commands_load_ends_at_once_and_quietly(name: str, number: signal.Signals) -> None:
    """Nothing has begun that could be left half done, so there is nothing to say."""
    code = f"""
import os, sys
class Strikes:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {int(number)})
for one in [one for one in sys.modules if one.partition(".")[0] in ("signal", "typer")]:
    del sys.modules[one]
sys.meta_path.insert(0, Strikes())
from multiagent.cli.main import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (CODES[number], "", "")
