"""What code and files may not do: swallow errors, sleep in tests, carry keys nobody reads, name a machine."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

from tests.house.tree import PACKAGE, Source, Tree, within

TOP_LOOPS: dict[str, str] = {
    "src/multiagent/cli/main.py: outcome": "the terminal's top: the user gets a sentence, a file gets the traceback",
    "src/multiagent/engines/fiber.py: Scheduler._resume": "whatever workflow code raises is its fiber's end",
    "src/multiagent/engines/fiber.py: discard": "a dropped run has no one to tell",
    "src/multiagent/engines/attempt.py: perform": "whatever a step's code raises is the step's failure",
    "src/multiagent/engines/embedded/run.py: Run._pump": "a run's top: it is put aside, others go on",
    "src/multiagent/engines/slots.py: Slot._main": "a step's top: what is not its code's puts the run aside",
    "src/multiagent/policy/answers.py: guarded": "a decision's top: whatever fails in it denies",
    "src/multiagent/tools/runner.py: ToolRunner._attempts": "a tool call's top: a tool's defect is its answer",
    "src/multiagent/sandbox/worker.py: main": "the worker's top: its parent gets the reason",
}
"""`path: function` of each place that may swallow any error, with the reason; each logs what it swallowed."""
CARRIED: dict[str, str] = {"greenlet": "SQLAlchemy needs it to run migrations over asyncpg"}
"""What is declared though nothing here imports it, with the reason."""
OPEN_NAMES: dict[str, tuple[str, ...]] = {}
"""Per configuration file, the keys whose children are names of the user's choosing, not settings."""
MACHINE = re.compile(
    r"(?<![\w.~$}\"'/-])/(?:work|farm|opt/wheels)(?:/|\b)"
    r"|/root/|/home/[a-z]|/Users/[a-z]"
    r"|pypi\.org|pythonhosted\.|registry\.npm|proxy\.golang|crates\.io|repo1?\.maven|deb\.debian"
    r"|--(?:extra-)?index-url",
    re.IGNORECASE,
)
"""Paths of one machine and hosts of package registries; in the text of this file they are not spelled out whole."""
EXCUSE = re.compile(r"#\s*(?:ruff: )?(?:noqa|type: ignore)")
EXCUSE_WITH_REASON = re.compile(r"#\s*(?:noqa: [A-Z0-9, ]+|type: ignore\[[a-z, -]+\]) *[-—:#] *\w")
LOCK_LINE = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^ ;\\]+)")


def broad_excepts(tree: Tree) -> list[str]:
    """Only the named top loops swallow any error; others clean up and raise again."""
    return [
        source.at(node, f"{name} swallows every error; catch what you can answer for")
        for source in tree.package.values()
        for name, node in _broad(source)
        if f"{source.path}: {name}" not in TOP_LOOPS
    ]


def _broad(source: Source) -> Iterator[tuple[str, ast.ExceptHandler]]:
    inside = {
        handler: name
        for name, function in source.functions()
        for handler in ast.walk(function)
        if isinstance(handler, ast.ExceptHandler)
    }
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and _catches_all(node.type) and not _raises_again(node):
            yield inside.get(node, "module"), node


def _catches_all(caught: ast.expr | None) -> bool:
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(kind is None or ast.unparse(kind) in {"Exception", "BaseException"} for kind in kinds)


def _raises_again(node: ast.ExceptHandler) -> bool:
    """Whether the handler always ends in a raise of its own."""
    return isinstance(node.body[-1], ast.Raise)


def excuses(tree: Tree) -> list[str]:
    """Each place where the product is excused from a rule says why, on its line."""
    return [
        f"{source.path}:{number}: excused without a reason; add `- why`"
        for source in tree.package.values()
        for number, line in enumerate(source.text.splitlines(), 1)
        if EXCUSE.search(line) and not EXCUSE_WITH_REASON.search(line)
    ]


def sleeps(tree: Tree) -> list[str]:
    """No test waits by the clock: it waits for what it waits for; a program that it drives may take its time."""
    return [
        source.at(node, f"{ast.unparse(node)}: wait for the thing itself")
        for source in tree.python("tests")
        if Path(source.path).name.startswith(("test_", "conftest"))
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and _sleeps(node)
    ]


def _sleeps(node: ast.Call) -> bool:
    yields = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
    return ast.unparse(node.func) in {"time.sleep", "asyncio.sleep"} and not yields


def dead_keys(tree: Tree) -> list[str]:
    """Every key of every file in configs/ is read: as a field that something looks at, or by its name."""
    fields, read, spelled = _code_names(tree)
    found: list[str] = []
    for path in tree.files:
        if path.startswith("configs/") and path.endswith((".yaml", ".yml")):
            document = yaml.safe_load((tree.root / path).read_text(encoding="utf-8"))
            for key in _keys(document, OPEN_NAMES.get(path.removeprefix("configs/"), ())):
                last = key.rpartition(".")[2]
                if not (last in spelled or (last in fields and last in read)):
                    found.append(f"{path}: nothing reads {key}")
    return found


def dead_fields(tree: Tree) -> list[str]:
    """Every field of the settings records is looked at somewhere."""
    _, read, _ = _code_names(tree)
    return [
        source.at(node, f"nothing reads the setting {node.target.id}")
        for name, source in tree.package.items()
        if name == "core.settings" or name.startswith("config.settings")
        for holder in ast.walk(source.tree)
        if isinstance(holder, ast.ClassDef)
        for node in holder.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if node.target.id not in read and "ClassVar" not in ast.unparse(node.annotation)
    ]


def _code_names(tree: Tree) -> tuple[set[str], set[str], set[str]]:
    """Names of declared fields, of attributes that are read, and string constants, over the whole product."""
    fields: set[str] = set()
    read: set[str] = set()
    spelled: set[str] = set()
    for source in tree.package.values():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                fields.add(node.target.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                read.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                spelled.add(node.value)
    return fields, read, spelled


def _keys(document: object, open_names: tuple[str, ...], prefix: str = "") -> Iterator[str]:
    if isinstance(document, Mapping):
        for key, value in document.items():
            if prefix.rstrip(".") not in open_names:
                yield f"{prefix}{key}"
                yield from _keys(value, open_names, f"{prefix}{key}.")
            else:
                yield from _keys(value, open_names, f"{prefix}*.")
    elif isinstance(document, list):
        for value in document:
            yield from _keys(value, open_names, prefix)


def machine_names(tree: Tree) -> list[str]:
    """No committed file names a path of one machine or the host of a package registry."""
    found: list[str] = []
    for path in tree.files:
        if path == "tests/house/rules_habits.py":
            continue
        try:
            text = (tree.root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found.extend(
            f"{path}:{number}: names {hit.group()!r}"
            for number, line in enumerate(text.splitlines(), 1)
            if (hit := MACHINE.search(line))
        )
    return found


def dependencies(tree: Tree) -> list[str]:
    """The product imports all that pyproject.toml declares and nothing else; its test code may use the test tools."""
    project = tomllib.loads((tree.root / "pyproject.toml").read_text(encoding="utf-8"))
    optional = [one for extra in project["project"]["optional-dependencies"].values() for one in extra]
    declared = {_plain(_name(one)) for one in (*project["project"]["dependencies"], *optional)} - {_plain(PACKAGE)}
    homes = {module: {_plain(one) for one in names} for module, names in packages_distributions().items()}
    used: set[str] = set()
    found: list[str] = []
    for name, source in tree.package.items():
        for one in tree.imports(source):
            homed = homes.get(one.top, {one.top})
            used |= homed
            standard = one.top in sys.stdlib_module_names or one.top == PACKAGE
            if not standard and not within(name, "testing") and not homed & declared:
                found.append(source.at(one.node, f"imports {one.top}, which pyproject.toml does not declare"))
    _, _, spelled = _code_names(tree)
    unused = declared - used - set(CARRIED) - {_plain(word) for word in spelled}
    return found + [f"pyproject.toml: nothing imports {name}" for name in sorted(unused)]


def locks(tree: Tree) -> list[str]:
    """Each lock pins every package to one version with hashes, names no address, and covers what pyproject asks."""
    found: list[str] = []
    for path in tree.files:
        if path.startswith("requirements/") and path.endswith(".lock"):
            found.extend(_lock(path, (tree.root / path).read_text(encoding="utf-8")))
    project = tomllib.loads((tree.root / "pyproject.toml").read_text(encoding="utf-8"))
    run = (tree.root / "requirements/run.lock").read_text(encoding="utf-8")
    locked = {_plain(hit["name"]) for line in run.splitlines() if (hit := LOCK_LINE.match(line))}
    asked = {_plain(_name(one)) for one in project["project"]["dependencies"]}
    return found + [f"requirements/run.lock: {name} is missing; run `make lock`" for name in sorted(asked - locked)]


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _lock(path: str, text: str) -> Iterator[str]:
    for block in re.split(r"\n(?=\S)", text.strip()):
        line = block.partition("\n")[0]
        if line.startswith("#"):
            continue
        if not LOCK_LINE.match(line):
            yield f"{path}: {line!r} is not pinned"
        if "--hash=sha256:" not in block:
            yield f"{path}: {line!r} has no hash"
        if re.search(r"https?://|file:|--(extra-)?index", block):
            yield f"{path}: {line!r} names an address"
