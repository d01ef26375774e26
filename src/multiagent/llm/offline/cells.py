"""Code cells for the sandbox: a few calls, and from the guest modules only what these calls need, written small."""

import ast
import functools
import io
import string
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

WORDS = frozenset((tokenize.NAME, tokenize.NUMBER, tokenize.STRING))
GUESTS = ("guest_table.py", "guest_stats.py", "guest_where.py", "guest_links.py", "guest_text.py")


class _Bare(ast.NodeTransformer):
    """Drops docstrings and annotations: a cell is paid by the token."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        for one in [*node.args.args, *node.args.kwonlyargs]:
            one.annotation = None
        node.body = _undocumented(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        node.body = _undocumented(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign | None:
        self.generic_visit(node)
        return ast.copy_location(ast.Assign([node.target], node.value), node) if node.value else None


def _undocumented(node: ast.FunctionDef | ast.ClassDef) -> list[ast.stmt]:
    return node.body[1:] if ast.get_docstring(node) is not None else node.body


@functools.cache
def _library() -> tuple[dict[str, ast.stmt], dict[str, str]]:
    """Return the guest modules' definitions and standard imports by the names they bind."""
    defined: dict[str, ast.stmt] = {}
    imported: dict[str, str] = {}
    folder = resources.files(__package__)
    for file in GUESTS:
        tree = _Bare().visit(ast.parse((folder / file).read_text(encoding="utf-8")))
        for node in tree.body:
            for name in _binds(node):
                defined[name] = node
            if isinstance(node, ast.Import):
                imported |= {one.name: f"import {one.name}" for one in node.names}
            elif isinstance(node, ast.ImportFrom) and not str(node.module).startswith("multiagent"):
                imported |= {one.name: f"from {node.module} import {one.name}" for one in node.names}
    return defined, imported


def _binds(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (one.id for one in node.targets if isinstance(one, ast.Name))


def cell(calls: str, instead: Mapping[str, str] | None = None) -> str:
    """Return a program of the standard library alone that makes these calls of guest functions.

    ``instead`` has simpler expressions for functions, where what they are for is known not to occur.
    """
    defined, imported = _library()
    simpler = {name: _small(ast.parse(f"{name} = {simple}").body[0]) for name, simple in (instead or {}).items()}
    main = _small(ast.parse(calls))
    order = dict.fromkeys((*defined, *simpler))
    parts: dict[str, _Small] = {}
    wanted, seen = set(main.reads), set[str]()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        if name in order:
            parts[name] = simpler.get(name) or _definition(name)
            wanted |= parts[name].reads - seen
    lines = sorted({imported[name] for name in seen if name in imported} | {"import json"})
    return "\n".join([*lines, *(parts[name].text for name in order if name in parts), main.text]) + "\n"


@dataclass(frozen=True, slots=True)
class _Small:
    """A piece of program, written small, and the names it reads from elsewhere."""

    text: str
    reads: frozenset[str]


def _small(node: ast.stmt | ast.Module) -> _Small:
    reads = frozenset(_reads(node))
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        _shorten(node, reads)
    return _Small(_narrow(ast.unparse(node)), reads)


def _shorten(node: ast.FunctionDef | ast.ClassDef, reads: frozenset[str]) -> None:
    """Give a definition's own names, but not what it may be called with by name, one letter each."""
    every = list(ast.walk(node))
    names = [one for one in every if isinstance(one, ast.Name)]
    given = [one.args for one in every if isinstance(one, ast.FunctionDef)]
    kept = {one.arg for args in given for one in (*args.kwonlyargs, *args.args[len(args.args) - len(args.defaults) :])}
    own = [one.id for one in names if isinstance(one.ctx, ast.Store)] + [
        one.arg for one in every if isinstance(one, ast.arg)
    ]
    letters = (one for one in string.ascii_letters if one not in reads | kept)
    short = dict(zip((one for one in dict.fromkeys(own) if one not in kept), letters, strict=False))
    for one in every:
        if isinstance(one, ast.Name):
            one.id = short.get(one.id, one.id)
        elif isinstance(one, ast.arg):
            one.arg = short.get(one.arg, one.arg)


@functools.cache
def _definition(name: str) -> _Small:
    """Return what the guest modules bind to a name."""
    return _small(_library()[0][name])


def _reads(node: ast.AST) -> set[str]:
    names = [one for one in ast.walk(node) if isinstance(one, ast.Name)]
    own = {one.id for one in names if isinstance(one.ctx, ast.Store) and not isinstance(node, ast.Assign)}
    own |= {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}
    return {one.id for one in names} - own


def _narrow(source: str) -> str:
    """Write a program with no more space than it needs; it holds no f-strings, whose parts are tokens since 3.12."""
    lines: list[str] = []
    depth, before, line = 0, 0, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in {tokenize.NEWLINE, tokenize.NL}:
            lines += [line] if line else []
            before, line = 0, ""
        elif token.type in {tokenize.INDENT, tokenize.DEDENT}:
            depth += 1 if token.type == tokenize.INDENT else -1
        else:
            words = before in WORDS and token.type in WORDS
            line += (" " * depth if not line else " " if words else "") + token.string
            before = token.type
    return "\n".join(lines)
