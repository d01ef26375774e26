"""How large things may get and what they may not be called, what a package shows, and what a signature may say."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.tree import SOURCE, Function, Source, Tree

FILE_LINES, FILE_STOP = 400, 600
FUNCTION_LINES, USUAL_FUNCTION_LINES, USUAL_SHARE = 60, 40, 0.95
PARAMETERS = 6
DEPTH = 3
OUTGROWN: dict[str, str] = {}
"""Files between 400 and 600 lines, each with the reason why it is one thing."""
BANNED_NAME = re.compile(r"^(utils?|helpers?|common|misc|legacy.*|new_.*|.*_v\d+|.*_legacy)$")
SOME = {"Coroutine", "Fiber", "Handle", "Step", "StepDef", "Workflow"}
"""Invariant generics whose arguments their driver cannot know: with `Any` they say "some", which nothing else can."""
CODE = ("src", "tests", "benchmarks", "scripts", "examples")


def file_sizes(tree: Tree) -> list[str]:
    """No file over 400 lines without a reason, none over 600 at all."""
    found = []
    for source in tree.python(*CODE):
        lines = source.text.count("\n")
        if lines > FILE_STOP or (lines > FILE_LINES and source.path not in OUTGROWN):
            found.append(f"{source.path}: {lines} lines; split it by noun")
    return found


def function_sizes(tree: Tree) -> list[str]:
    """No function over 60 lines (docstring aside), 95% of the product's at most 40."""
    found = [
        source.at(node, f"{name} has {_lines(node)} lines; split it")
        for source in tree.python(*CODE)
        for name, node in source.functions()
        if _lines(node) > FUNCTION_LINES
    ]
    lengths = sorted(_lines(node) for source in tree.python(SOURCE) for _, node in source.functions())
    long = [length for length in lengths if length > USUAL_FUNCTION_LINES]
    if len(long) > len(lengths) * (1 - USUAL_SHARE):
        found.append(f"{SOURCE}: {len(long)} of {len(lengths)} functions have more than {USUAL_FUNCTION_LINES} lines")
    return found


def _lines(node: Function) -> int:
    documented = ast.get_docstring(node) is not None
    first = node.body[1] if documented and len(node.body) > 1 else node.body[0]
    header = node.body[0].lineno - node.lineno
    end = node.end_lineno or node.lineno
    return end - first.lineno + 1 + header


def parameters(tree: Tree) -> list[str]:
    """At most six parameters, `self` aside; a terminal command has one for each of its options."""
    return [
        source.at(node, f"{name} takes {_parameters(node)} parameters; make a record of them")
        for source in tree.python(SOURCE, "benchmarks")
        for name, node in source.functions()
        if _parameters(node) > PARAMETERS and not _is_command(node)
    ]


def _parameters(node: Function) -> int:
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return sum(one.arg not in {"self", "cls"} for one in every)


def _is_command(node: Function) -> bool:
    return any("typer.Option(" in ast.unparse(one) for one in ast.walk(node.args) if isinstance(one, ast.Subscript))


def names(tree: Tree) -> list[str]:
    """No file or folder is named for nothing in particular, or for its age."""
    return [
        f"{name}: {part!r} says nothing; name the thing"
        for name in tree.files
        if name.startswith(tuple(f"{folder}/" for folder in CODE))
        for part in Path(name).with_suffix("").parts
        if BANNED_NAME.match(part)
    ]


def depth(tree: Tree) -> list[str]:
    """Folders are at most three deep below the package."""
    inside = [name for name in tree.files if name.startswith(f"{SOURCE}/")]
    return [f"{name}: too deep" for name in inside if len(Path(name).relative_to(SOURCE).parent.parts) > DEPTH]


def mirror(tree: Tree) -> list[str]:
    """Each folder of tests/unit stands for the part of the package with its name."""
    inside = [name for name in tree.files if name.startswith(f"{SOURCE}/")]
    parts = {Path(name).relative_to(SOURCE).parent.as_posix().replace("/", "_") for name in inside}
    tests = [name for name in tree.files if name.startswith("tests/unit/") and name.endswith(".py")]
    folders = {Path(name).relative_to("tests/unit").parent.as_posix() for name in tests}
    return [f"tests/unit/{one}: there is no such part" for one in sorted(folders) if one.replace("/", "_") not in parts]


def faces(tree: Tree) -> list[str]:
    """A package's `__init__` is empty, or is nothing but its declared face: imports and `__all__`."""
    return [violation for source in tree.python(SOURCE) if source.is_package for violation in _face(source)]


def _face(source: Source) -> Iterator[str]:
    body = [node for node in source.tree.body if not _is_docstring(node)]
    if not body:
        return
    declares = any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__" for node in body)
    plain = all(isinstance(node, ast.Import | ast.ImportFrom | ast.Assign) for node in body)
    if not (declares and plain):
        yield source.at(body[0], "a package's __init__ is empty, or imports and declares __all__")


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def public_any(tree: Tree) -> list[str]:
    """No `Any` in the signature of a public function, nor in a public record's field."""
    return [
        source.at(annotation, f"Any in the face of {name}")
        for source in tree.package.values()
        for name, annotation in _public_annotations(source.tree, "")
        if _says_any(annotation)
    ]


def _says_any(annotation: ast.AST) -> bool:
    """Whether `Any` occurs in an annotation, as itself or in a container; `Step[Any, Any]` is "some step"."""
    if isinstance(annotation, ast.Name | ast.Attribute):
        return ast.unparse(annotation).rpartition(".")[2] == "Any"
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value).rpartition(".")[2] in SOME:
        return False
    return any(_says_any(one) for one in ast.iter_child_nodes(annotation))


def _public_annotations(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.expr]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from _public_annotations(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.AnnAssign) and not ast.unparse(child.target).startswith("_"):
            yield prefix + ast.unparse(child.target), child.annotation
        elif isinstance(child, Function) and (not child.name.startswith("_") or child.name == "__init__"):
            arguments = [one for one in ast.walk(child.args) if isinstance(one, ast.arg)]
            told = [one.annotation for one in arguments] + [child.returns]
            yield from ((prefix + child.name, one) for one in told if one)
