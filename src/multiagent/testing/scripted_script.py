"""What the fake vendor is told to do, and the bill it keeps."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from multiagent.llm.base import Purpose


class ScriptedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call to answer with; ``arguments`` is JSON text."""

    name: str
    arguments: str = "{}"


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to answer.

    ``planner`` answers the platform's structured requests with the rules of the offline model. ``hang``, ``reset`` and
    ``garbage`` come after ``after`` pieces of the text. ``usage``: ``exact`` is the bound that the gate reserves,
    ``less`` an estimate, ``more`` 50 tokens above the bound, ``none`` says nothing; what is not reported is billed all
    the same. ``shape`` is the form of the last chunk.
    """

    kind: Literal["answer", "planner", "status", "hang", "reset", "garbage"] = "answer"
    text: str = "It is so."
    calls: tuple[ScriptedCall, ...] = ()
    finish: str = ""
    status: int = 500
    retry_after_s: float | None = None
    usage: Literal["exact", "less", "more", "none"] = "less"
    shape: Literal["no_choices", "empty_delta", "bare"] = "no_choices"
    latency_s: float = 0.0
    after: int = 0


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reply to the calls that fit all that is said: their purpose, a text in them, their numbers (from 1)."""

    reply: Reply
    purpose: Purpose | None = None
    contains: str = ""
    calls: tuple[int, ...] = ()


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first fitting rule answers, else ``default``. ``key`` set: other keys get 401."""

    rules: tuple[Rule, ...] = ()
    default: Reply = Reply()
    key: str = ""
    overhead_tokens: int = 64

    def reply(self, number: int, purpose: Purpose, text: str) -> Reply:
        """Return the reply to a call."""
        for rule in self.rules:
            if rule.purpose not in (None, purpose) or rule.contains not in text:
                continue
            if not rule.calls or number in rule.calls:
                return rule.reply
        return self.default


class LedgerLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the vendor's ledger: a call ``began``, was ``billed``, or ``ended`` (delivered to its last byte?).

    ``body`` is the SHA-256 of the request.
    """

    event: Literal["began", "billed", "ended"]
    call: int
    model: str = ""
    body: str = ""
    prompt: int = 0
    completion: int = 0
    delivered: bool = False


class Ledger:
    """Appends lines; where it has a file, each line is on the disk before ``add`` returns."""

    def __init__(self, path: Path | None = None) -> None:
        self.lines: list[LedgerLine] = []
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, line: LedgerLine) -> None:
        """Append a line."""
        self.lines.append(line)
        if self._file is not None:
            os.write(self._file, msgspec.json.encode(line) + b"\n")
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class VendorBill(msgspec.Struct, frozen=True):
    """What a ledger comes to: calls begun, calls and tokens billed, calls not delivered to their last byte."""

    calls: int
    billed_calls: int
    prompt: int
    completion: int
    undelivered: int
    bodies: tuple[str, ...]

    @property
    def tokens(self) -> int:
        """All tokens billed."""
        return self.prompt + self.completion


def bill(lines: list[LedgerLine]) -> VendorBill:
    """Sum up a ledger."""
    billed = [line for line in lines if line.event == "billed"]
    delivered = {line.call for line in lines if line.event == "ended" and line.delivered}
    began = [line for line in lines if line.event == "began"]
    return VendorBill(
        calls=len(began),
        billed_calls=len(billed),
        prompt=sum(line.prompt for line in billed),
        completion=sum(line.completion for line in billed),
        undelivered=len({line.call for line in began} - delivered),
        bodies=tuple(line.body for line in began),
    )


def read_ledger(path: Path) -> list[LedgerLine]:
    """Return the lines of a ledger's file."""
    return [msgspec.json.decode(line, type=LedgerLine) for line in path.read_bytes().splitlines() if line]
