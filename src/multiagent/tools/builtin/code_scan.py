"""What policy may know of Python code: its hash and length, and flags for risky names found in its syntax tree. Pure.

The scan is advice, not a wall: code that hides a name passes it. What code can do is decided by the sandbox.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from typing import Final

from multiagent.core.decision import CodeFacts

_MODULES: Final = frozenset({"ctypes", "importlib", "multiprocessing", "pty", "signal", "socket", "subprocess"})
_OF_OS: Final = re.compile(r"(system|popen|fork|kill)$|(exec|spawn)[lvpe]+$|(posix_spawn)p?$")
_BUILTINS: Final = frozenset({"eval", "exec", "compile", "__import__"})
_IN_TEXT: Final = re.compile(
    r"\b(ctypes|importlib|multiprocessing|pty|socket|subprocess|os\.(?:system|popen|fork|exec|spawn))"
)


def facts_of(code: str) -> CodeFacts:
    """Return the facts of a Python program."""
    data = code.encode("utf-8", "surrogatepass")
    return CodeFacts("python", hashlib.sha256(data).hexdigest(), len(data), tuple(sorted(set(_flags(code)))))


def _flags(code: str) -> Iterator[str]:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield "unparsed"
        yield from (hit.group() for hit in _IN_TEXT.finditer(code))
        return
    aliases = dict(_aliases(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _of_import(node)
        elif isinstance(node, ast.Attribute):
            yield from _of_name(_dotted(node, aliases))
        elif isinstance(node, ast.Name):
            yield from _of_name(aliases.get(node.id, node.id))
        elif isinstance(node, ast.Call):
            yield from _of_call(node, aliases)


def _aliases(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((one.asname, one.name) for one in node.names if one.asname)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((one.asname or one.name, f"{node.module}.{one.name}") for one in node.names)


def _of_import(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    names = [one.name for one in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    for name in names:
        top = name.partition(".")[0]
        if top in _MODULES:
            yield top
    if isinstance(node, ast.ImportFrom) and node.module in {"os", "posix"}:
        for one in node.names:
            yield from _of_name(f"os.{one.name}")


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return aliases.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, aliases)}.{node.attr}"
    return ""


def _of_name(name: str) -> Iterator[str]:
    top, _, rest = name.partition(".")
    if top in _MODULES and rest:
        yield top
    elif top in {"os", "posix"} and (hit := _OF_OS.match(rest)):
        yield f"os.{next(group for group in hit.groups() if group)}"
    elif name in _BUILTINS:
        yield name


def _of_call(node: ast.Call, aliases: dict[str, str]) -> Iterator[str]:
    """Names given as constant text: ``getattr(os, "system")``, ``__import__("subprocess")``."""
    called = _dotted(node.func, aliases)
    texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    if called in {"__import__", "importlib.import_module"}:
        yield from (text.partition(".")[0] for text in texts if text.partition(".")[0] in _MODULES)
    elif called == "getattr" and texts:
        yield from _of_name(f"{_dotted(node.args[0], aliases)}.{texts[0]}")
