"""Checkable tasks, and what a harness does to spoil an answer to one. Knows nothing of who answers or judges."""

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.planted.table import make

_NUMBER: Final = re.compile(r"(?<![\w.`])-?\d+(?:\.\d+)?(?![\w`]|\.\d)")
_BOLD: Final = re.compile(r"\*\*([^*\n]+)\*\*")
_OPPOSITE: Final = (
    ("rises", "falls"), ("increasing", "decreasing"), ("positive", "negative"), ("上升", "下降"), ("正相关", "负相关"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checkable:
    """A task whose answer a tool can check. ``names`` are those of its table's groups and columns."""

    instruction: str
    tools: tuple[str, ...]
    file: Path | None = None
    names: tuple[str, ...] = ()


def arithmetic(chance: random.Random) -> Checkable:
    """A sum in words or signs, English or Chinese."""
    a, b, c = chance.randint(2, 999), chance.randint(2, 999), chance.randint(2, 99)
    forms = (
        f"What is {a} * {b} + {c}?", f"Compute ({a} + {b}) * {c}.", f"What is {c}% of {a}?", f"{a} 乘以 {b} 是多少？",
        f"Calculate {a} minus {b}.", f"What is the sum of {a}, {b} and {c}?", f"计算 ({a} - {b}) * {c}",
    )  # fmt: skip
    return Checkable(chance.choice(forms), ("calculator",))


def table(chance: random.Random, folder: Path) -> Checkable:
    """A question about a table with planted facts."""
    made = make(chance.randrange(1 << 30))
    path = folder / made.name
    path.write_text(made.text, encoding="utf-8")
    members = {cell for group in made.groups for cell in made.columns[group]}
    return Checkable(made.query, ("python", "attachments"), path, tuple(sorted(members)))


def spoiled(text: str, task: Checkable, chance: random.Random) -> str:
    """Return the answer with one thing in it made wrong: a number, two numbers changed about, a name, a direction."""
    ways = [_number, _exchanged, _named, _opposite]
    chance.shuffle(ways)
    for way in ways:
        worse = way(text, task, chance)
        if worse != text:
            return worse
    raise AssertionError(f"there is nothing to spoil in {text!r}")


def _number(text: str, _task: Checkable, chance: random.Random) -> str:
    hit = chance.choice(list(_NUMBER.finditer(text)))
    digits = [at for at in range(hit.start(), hit.end()) if text[at].isdigit()]
    at = chance.choice(digits[: max(1, len(digits) - 2)])
    other = str((int(text[at]) + chance.randint(1, 9)) % 10)
    return text[:at] + other + text[at + 1 :]


def _exchanged(text: str, _task: Checkable, chance: random.Random) -> str:
    hits = list(_NUMBER.finditer(text))
    pairs = [(one, two) for one in hits for two in hits if one.start() < two.start() and float(one[0]) != float(two[0])]
    if not pairs:
        return text
    one, two = chance.choice(pairs)
    return text[: one.start()] + two[0] + text[one.end() : two.start()] + one[0] + text[two.end() :]


def _named(text: str, task: Checkable, chance: random.Random) -> str:
    hits = [hit for hit in _BOLD.finditer(text) if hit[1] in task.names]
    if not hits:
        return text
    hit = chance.choice(hits)
    other = chance.choice([name for name in task.names if name != hit[1]])
    return text[: hit.start(1)] + other + text[hit.end(1) :]


def _opposite(text: str, _task: Checkable, chance: random.Random) -> str:
    pairs = [pair for pair in _OPPOSITE if pair[0] in text or pair[1] in text]
    if not pairs:
        return text
    one, two = chance.choice(pairs)
    said, other = (one, two) if one in text else (two, one)
    return text.replace(said, other, 1)
