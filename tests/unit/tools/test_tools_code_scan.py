"""What policy learns of code, and what it does not."""

import hashlib

import pytest

from multiagent.tools.builtin.code_scan import facts_of


def test_facts_are_hash_length_and_language_and_never_the_text() -> None:
    code = "print('héllo')"
    facts = facts_of(code)
    assert facts.language == "python"
    assert facts.sha256 == hashlib.sha256(code.encode()).hexdigest()
    assert facts.length == len(code.encode())
    assert facts.flags == ()


@pytest.mark.parametrize(
    ("code", "flag"),
    [
        ("import subprocess", "subprocess"),
        ("import subprocess as s\ns.run('ls')", "subprocess"),
        ("from subprocess import run", "subprocess"),
        ("def f():\n    import os.path, socket", "socket"),
        ("import os\nos.system('ls')", "os.system"),
        ("import os as o\no.system('ls')", "os.system"),
        ("from os import system", "os.system"),
        ("from os import system as s\ns('ls')", "os.system"),
        ("import os\nf = os.popen", "os.popen"),
        ("import os\nos.execvpe('a', [], {})", "os.exec"),
        ("import os\nos.spawnl(0, 'a')", "os.spawn"),
        ("import os\nos.fork()", "os.fork"),
        ("import posix\nposix.system('ls')", "os.system"),
        ("import os\ngetattr(os, 'system')('ls')", "os.system"),
        ("__import__('subprocess').run('ls')", "subprocess"),
        ("import importlib\nimportlib.import_module('subprocess')", "subprocess"),
        ("eval('1')", "eval"),
        ("exec(x)", "exec"),
        ("if subprocess", "unparsed"),
        ("if subprocess.run(", "subprocess"),
    ],
)
def test_a_risky_name_is_flagged_however_it_is_written(code: str, flag: str) -> None:
    assert flag in facts_of(code).flags


@pytest.mark.parametrize(
    "code",
    [
        "x = 'import subprocess; os.system()'",
        "# os.system('ls')\nimport os\nprint(os.path.join('a', 'b'))",
        "import re\nre.compile('a')",
        "system = 1\nprint(system)",
        "import csv, json, statistics, collections, math, os",
        "class Socket:\n    def fork(self): ...\nSocket().fork()",
    ],
)
def test_harmless_code_has_no_flags(code: str) -> None:
    assert facts_of(code).flags == ()


def test_code_that_breaks_the_parser_is_flagged_as_unparsed() -> None:
    for code in ("(" * 5000, "x = '\0'", "\ud800", "-" * 100_000 + "1"):
        assert facts_of(code).flags in {("unparsed",), ()}
