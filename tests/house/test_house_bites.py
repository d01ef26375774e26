"""The house rules bite: each finds the violation that is put into a copy of this checkout."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house import rules_effects, rules_floors, rules_habits, rules_shape, rules_workflow
from tests.house.tree import SOURCE, Tree

Rule = Callable[[Tree], list[str]]
CORE, DAG = f"{SOURCE}/core/seeded.py", f"{SOURCE}/orchestrator/strategies/seeded.py"
LONG = "def f() -> None:\n" + "    g()\n" * 60
THREAD = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
FIELD = "class A:\n    s: set[str]\n\n    def f(self) -> None:\n        for x in self.s:\n            g(x)\n"
SEEDS: tuple[tuple[str, Rule, str, str], ...] = (
    # what is put in, the rule that must find it, where, the text
    ("an upward import", rules_floors.floors, CORE, "import multiagent.storage.sql.base\n"),
    ("an import of a neighbour", rules_floors.floors, f"{SOURCE}/policy/seeded.py", "import multiagent.llm.base\n"),
    ("a floor that nobody drew", rules_floors.floors, f"{SOURCE}/cellar/__init__.py", ""),
    ("a drawn floor still called unbuilt", rules_floors.unbuilt_floors, f"{SOURCE}/ledger/__init__.py", ""),
    ("a database driver in core", rules_floors.walls, CORE, "import sqlite3\n"),
    (
        "wasmtime in a tool, inside a function",
        rules_floors.walls,
        f"{SOURCE}/tools/x.py",
        "def f():\n    import wasmtime\n",
    ),
    ("a clock in core", rules_floors.purity, CORE, "from time import time\n"),
    (
        "a factory used below app",
        rules_floors.factories,
        f"{SOURCE}/tools/x.py",
        "from multiagent.engines.factory import x\n",
    ),
    ("a port without a suite", rules_floors.ports, f"{SOURCE}/memory/base.py", "class M(Protocol): ...\n"),
    ("tests of a part that is not there", rules_shape.mirror, "tests/unit/cellar/test_x.py", ""),
    ("test code in the product", rules_floors.test_code, CORE, "from multiagent.testing import clock\n"),
    ("a clock in workflow code", rules_workflow.workflow_imports, DAG, "import time\n"),
    ("chance two imports away", rules_workflow.workflow_imports, CORE, "import random\n"),
    ("the gate in workflow code", rules_workflow.workflow_imports, DAG, "from multiagent.llm import base\n"),
    (
        "a re-export on the way",
        rules_workflow.workflow_imports,
        f"{SOURCE}/orchestrator/__init__.py",
        "import asyncio\n",
    ),
    ("a file opened by workflow code", rules_workflow.workflow_code, DAG, "def f() -> None:\n    open('x')\n"),
    (
        "a walk over a set",
        rules_workflow.workflow_code,
        DAG,
        "def f(s: set[str]) -> None:\n    for x in s:\n        g(x)\n",
    ),
    ("a list of a set", rules_workflow.workflow_code, DAG, "def f() -> list[str]:\n    return [*{'a', 'b'}]\n"),
    ("a walk over a field that is a set", rules_workflow.workflow_code, DAG, FIELD),
    ("an address as a value", rules_workflow.workflow_code, DAG, "def f(x: object) -> int:\n    return id(x)\n"),
    ("a mutable global", rules_workflow.workflow_code, DAG, "SEEN = {}\n"),
    ("a global statement", rules_workflow.workflow_code, DAG, "def f() -> None:\n    global g\n    g = 1\n"),
    ("a file of 700 lines", rules_shape.file_sizes, CORE, "x = 1\n" * 700),
    ("a file of 401 lines", rules_shape.file_sizes, CORE, "x = 1\n" * 401),
    ("a function of 61 lines", rules_shape.function_sizes, CORE, LONG),
    ("a function of seven parameters", rules_shape.parameters, CORE, "def f(a, b, c, d, e, f, g): ...\n"),
    ("a file of odds and ends", rules_shape.names, f"{SOURCE}/core/utils.py", ""),
    ("a second version beside the first", rules_shape.names, f"{SOURCE}/core/budget_v2.py", ""),
    ("a folder too deep", rules_shape.depth, f"{SOURCE}/storage/sql/a/b/c.py", ""),
    ("code in a package's __init__", rules_shape.faces, f"{SOURCE}/core/__init__.py", "def f(): ...\n"),
    ("Any in a public signature", rules_shape.public_any, CORE, "def f(x: list[Any]) -> None: ...\n"),
    ("Any in a public field", rules_shape.public_any, CORE, "class A:\n    x: dict[str, typing.Any]\n"),
    ("a swallowed error", rules_habits.broad_excepts, CORE, "def f():\n    try: g()\n    except Exception: pass\n"),
    ("an excuse without a reason", rules_habits.excuses, CORE, "import x  # no" + "qa: F401\n"),
    (
        "a sleep in a test",
        rules_habits.sleeps,
        "tests/unit/test_x.py",
        "import time\n\ndef test_x():\n    time.sleep(1)\n",
    ),
    ("a dead key", rules_habits.dead_keys, "configs/seeded.yaml", "a_key_that_nothing_reads: 1\n"),
    (
        "a dead setting",
        rules_habits.dead_fields,
        f"{SOURCE}/config/settings.py",
        "class S:\n    never_looked_at: int\n",
    ),
    ("a path of this machine", rules_habits.machine_names, "docs/x.md", "Look into /wo" + "rk/main.\n"),
    ("a registry's host", rules_habits.machine_names, "docs/x.md", "https://py" + "pi.org/simple\n"),
    ("a library that nobody declared", rules_habits.dependencies, CORE, "import hypothesis\n"),
    ("a lock without hashes", rules_habits.locks, "requirements/x.lock", "a==1\nb==2 \\\n    --hash=sha256:00\n"),
    ("a lock with an address", rules_habits.locks, "requirements/x.lock", "--index" + "-url https://x\n"),
    ("a folder made by an import", rules_effects.import_effects, CORE, "import os\nos.mkdir('made')\n"),
    ("a thread started by an import", rules_effects.import_effects, CORE, THREAD),
    ("an import that prints", rules_effects.import_effects, CORE, "print('hello')\n"),
    ("an import that fails", rules_effects.import_effects, CORE, "import not_installed_anywhere\n"),
    ("a heavy start", rules_effects.light_start, f"{SOURCE}/cli/main.py", "import pydantic\n"),
    ("a loop loaded by workflow code", rules_effects.workflow_start, DAG, "exec('import asyncio')\n"),
)
REACHES_CORE = "import multiagent.core.seeded\n"
"""Workflow code that stands in the copy, so that what it reaches is looked at."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the rules look at."""
    return _copy(tmp_path_factory.mktemp("copy"), ("src/", "configs/", "requirements/", "pyproject.toml"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the lowest floor alone, for the rules that import what they look at."""
    return _copy(tmp_path_factory.mktemp("small"), (f"{SOURCE}/__init__", f"{SOURCE}/core/", "pyproject.toml"))


def _copy(root: Path, parts: tuple[str, ...]) -> Path:
    real = Tree()
    for name in real.files:
        if name.startswith(parts):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(real.root / name, root / name)
    for folder in ("orchestrator", "orchestrator/strategies"):
        (root / SOURCE / folder).mkdir(parents=True, exist_ok=True)
        (root / SOURCE / folder / "__init__.py").touch()
    (root / SOURCE / "orchestrator/strategies/reaching.py").write_text(REACHES_CORE)
    (root / CORE).touch()
    return root


@pytest.mark.requirement("A8.bites")
@pytest.mark.parametrize(("rule", "path", "text"), [seed[1:] for seed in SEEDS], ids=[seed[0] for seed in SEEDS])
def test_a_rule_finds(copy: Path, small: Path, rule: Rule, path: str, text: str) -> None:
    root = small if rule.__module__ == rules_effects.__name__ else copy
    file = root / path
    before = file.read_text(encoding="utf-8") if file.exists() else None
    made = [parent for parent in file.parents if not parent.exists()]
    file.parent.mkdir(parents=True, exist_ok=True)
    sound = set(rule(Tree(root)))
    file.write_text(text, encoding="utf-8")
    try:
        found = set(rule(Tree(root)))
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before, encoding="utf-8")
        for folder in made:
            shutil.rmtree(folder)
    assert found - sound, "the rule found nothing"


def test_a_rule_tells_order_from_no_order(tmp_path: Path) -> None:
    """What does not depend on a set's order is no violation."""
    file = tmp_path / DAG
    file.parent.mkdir(parents=True)
    file.write_text(
        "from collections.abc import Mapping\n"
        "TABLE: Mapping[str, int] = {'a': 1}\n"
        "def f(s: set[str]) -> list[str]:\n"
        "    assert len(s) > 1 and 'a' in s and all(x for x in s)\n"
        "    t = {x.upper() for x in s} | s\n"
        "    for x in sorted(t):\n"
        "        g(x)\n"
        "    return sorted(x for x in t)\n"
    )
    assert rules_workflow.workflow_code(Tree(tmp_path)) == []


def test_the_walk_over_imports_sees_what_grimp_sees() -> None:
    """Our import resolver agrees with an independent one over the whole product."""
    import grimp

    graph = grimp.build_graph("multiagent", cache_dir=None)
    tree = Tree()
    for name, source in tree.package.items():
        ours = {found.target for found in tree.imports(source) if found.top == "multiagent"}
        theirs = graph.find_modules_directly_imported_by(f"multiagent.{name}".rstrip("."))
        assert ours == theirs, name
