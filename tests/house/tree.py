"""A checkout as the house rules see it: its files, its modules parsed, and what they import."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "multiagent"
SOURCE = f"src/{PACKAGE}"
FOREIGN = ("sandbox/guest/",)
"""Folders of code that runs elsewhere: the guest's modules are compiled into the sandbox, not imported here."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def _parse(text: str, path: str) -> ast.Module:
    """Parse each text once, however many copies of a checkout hold it."""
    return ast.parse(text, path)


@dataclass(frozen=True)
class Source:
    """One Python file; `path` is relative to the root, `name` its dotted name below the package ("" for the top)."""

    root: Path
    path: str

    @cached_property
    def text(self) -> str:
        """The file's text."""
        return (self.root / self.path).read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The file, parsed."""
        return _parse(self.text, self.path)

    @property
    def is_package(self) -> bool:
        """Whether it is a package's `__init__`."""
        return self.path.endswith("__init__.py")

    @property
    def name(self) -> str:
        """`engines.kernel` for src/multiagent/engines/kernel.py."""
        parts = Path(self.path).with_suffix("").relative_to(SOURCE).parts
        return ".".join(parts[:-1] if self.is_package else parts)

    def functions(self) -> Iterator[tuple[str, Function]]:
        """Every function of the file, with its dotted name."""
        yield from _functions(self.tree, "")

    def at(self, node: ast.AST, says: str) -> str:
        """A violation at a place."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {says}"


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
        inner = f"{prefix}{child.name}." if isinstance(child, ast.ClassDef | Function) else prefix
        yield from _functions(child, inner)


@dataclass(frozen=True)
class Import:
    """One imported name: `target` is the whole dotted module, as precise as the tree allows."""

    node: ast.AST
    target: str

    @property
    def top(self) -> str:
        """The top-level package."""
        return self.target.partition(".")[0]


@dataclass(frozen=True)
class Tree:
    """A checkout, or a copy of one."""

    root: Path = ROOT

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Every file that is, or could be, committed, relative to the root."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )
        if listed.returncode == 0 and (self.root / ".git").exists():
            names = set(listed.stdout.split("\0")) - {""}
        else:
            paths = (path for path in self.root.rglob("*") if "__pycache__" not in path.parts)
            names = {path.relative_to(self.root).as_posix() for path in paths}
        return tuple(sorted(name for name in names if (self.root / name).is_file()))

    def python(self, *folders: str) -> list[Source]:
        """The Python files under `folders` (all of them without any)."""
        under = tuple(f"{folder}/" for folder in folders)
        chosen = [name for name in self.files if name.endswith(".py") and (not under or name.startswith(under))]
        return [self.source(name) for name in chosen]

    @cached_property
    def package(self) -> dict[str, Source]:
        """The product's modules by dotted name below the package, those that run elsewhere left out."""
        sources = self.python(SOURCE)
        return {
            source.name: source
            for source in sources
            if not source.path.startswith(tuple(f"{SOURCE}/{folder}" for folder in FOREIGN))
        }

    @cached_property
    def _parsed(self) -> dict[str, Source]:
        return {}

    def source(self, path: str) -> Source:
        """One file, parsed at most once."""
        return self._parsed.setdefault(path, Source(self.root, path))

    def imports(self, source: Source) -> list[Import]:
        """Every import in a file, those inside functions included; `from x import y` is x.y where that is a module."""
        found: list[Import] = []
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                found.extend(Import(node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.extend(Import(node, self._resolve(node.module, alias.name)) for alias in node.names)
        return found

    def _resolve(self, module: str, name: str) -> str:
        inner = f"{module}.{name}"
        return inner if inner.removeprefix(f"{PACKAGE}.") in self.package else module


def within(name: str, *floors: str) -> bool:
    """Whether a dotted name is one of `floors` or below one."""
    return any(name == floor or name.startswith(f"{floor}.") for floor in floors)
