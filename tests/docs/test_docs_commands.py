"""Every command in the documents exists: its verbs, its sub-commands, its options, its files."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.house.tree import ROOT, Tree

BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^]]+\]\((?!https?:)([^)#]+)\)")
DOCUMENTS = [name for name in Tree().files if name.endswith(".md") and not name.startswith("src/")]


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a document's shell blocks, split into words, comments aside."""
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words:
                yield words


def _those(program: str) -> list[list[str]]:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS]
    every = [words for text in texts for words in commands(text)]
    return [words[1:] for words in every if Path(words[0]).name == program]


@cache
def _help(*path: str) -> str:
    """What the terminal says about a sub-command."""
    command = [sys.executable, "-c", "from multiagent.cli.main import main; main()", *path, "--help"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_documents_commands_are_found() -> None:
    text = "x\n```sh\nmake run  # do it\n$ multiagent run 'a b' \\\n  --json\n```\n```python\nmake()\n```\n"
    assert list(commands(text)) == [["make", "run"], ["multiagent", "run", "a b", "--json"]]


@pytest.mark.parametrize("words", _those("make"), ids=" ".join)
def test_make_knows(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for verb in (word for word in words if "=" not in word):
        assert re.search(rf"^{re.escape(verb)}:", makefile, re.MULTILINE), verb


@pytest.mark.parametrize("words", _those("multiagent"), ids=" ".join)
def test_the_terminal_knows(words: list[str]) -> None:
    path = words[: 2 if words[0] in {"tasks", "sandbox", "schedules"} else 1]
    told = _help(*path)
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", told), f"{' '.join(path)} has no {option}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_documents_links_lead_somewhere(name: str) -> None:
    for target in LINK.findall((ROOT / name).read_text(encoding="utf-8")):
        assert (ROOT / name).parent.joinpath(target).exists(), target


def test_the_readme_fits_on_a_screen_or_three() -> None:
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") <= 150
