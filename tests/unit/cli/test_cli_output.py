"""What is printed, where, and what happens when nobody takes it."""

import io
import sys

import pytest

from multiagent.cli import output
from multiagent.cli.main import outcome


class _Gone(io.StringIO):
    """A stream whose reader has left."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, _text: str) -> int:
        raise self.error


def test_content_from_outside_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences of cells, queries and file names are printed without their control characters."""
    output.answer("a\x1b]0;title\x07b\x9b31m\tc\nd\x7f")
    output.say("x\x1b[31my")
    printed = capsys.readouterr()
    assert printed.out == "a]0;titleb31m\tc\nd\n"
    assert printed.err == "x[31my\n"


def test_nobody_reading_progress_stops_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed or missing stderr is no error."""
    for stream in (_Gone(BrokenPipeError()), None):
        monkeypatch.setattr(sys, "stderr", stream)
        output.say("hello")


@pytest.mark.parametrize(("error", "code"), [(BrokenPipeError(), 141), (OSError(28, "No space left on device"), 7)])
def test_an_answer_that_nobody_takes_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, code: int
) -> None:
    """141 where the reader left, 7 where it cannot be written; never a defect of the program."""
    monkeypatch.setattr(sys, "stdout", _Gone(error))
    assert outcome(["version"]) == code
    assert "INTERNAL" not in capsys.readouterr().err


def test_usage_errors_are_json_where_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Also for options and commands that do not exist."""
    assert outcome(["run", "x", "--bogus", "--json"]) == 2
    assert '"code": "INVALID_INPUT"' in capsys.readouterr().out
