"""Workflow code: the modules that replay runs again, so everything they do must come out the same.

They import only what is pure (the closure is walked, packages' `__init__` included) and use no clock, chance,
environment, I/O, thread, loop, set order or mutable global.
"""

import ast
from collections.abc import Iterable, Iterator

from tests.house.tree import PACKAGE, Source, Tree, within

WORKFLOW = (
    "orchestrator.workflows",
    "orchestrator.dag",
    "orchestrator.scheduler",
    "orchestrator.budget",
    "orchestrator.strategies",
    "orchestrator.calls",
    "agents.loop",
    "agents.fsm",
    "agents.belief",
    "agents.calls",
)
PRODUCT = ("core", "engines.base", *WORKFLOW)
"""What of the product workflow code may reach, beside the `__init__` of the packages on the way."""
STANDARD = {
    "__future__", "abc", "base64", "bisect", "collections", "contextlib", "dataclasses", "decimal", "enum", "fractions",
    "functools", "hashlib", "heapq", "hmac", "inspect", "itertools", "json", "math", "numbers", "operator", "re",
    "string", "struct", "textwrap", "types", "typing", "unicodedata",
}  # fmt: skip
LIBRARIES = {"msgspec", "typing_extensions"}
FORBIDDEN_CALLS = {
    "__import__", "breakpoint", "compile", "eval", "exec", "globals", "hash", "id", "input", "locals", "open", "print",
    "vars",
}  # fmt: skip
MUTABLE_MAKERS = {"list", "dict", "set", "bytearray", "defaultdict", "OrderedDict", "Counter", "deque"}
READ_ONLY = {"Mapping", "Sequence", "Collection", "Iterable", "frozenset"}
SET_NAMES = {"set", "frozenset", "Set", "AbstractSet", "MutableSet"}
ORDER_TAKERS = {"list", "tuple", "enumerate", "iter", "next", "zip", "map", "filter", "reversed", "deque", "join"}
ORDER_FREE = {"sorted", "any", "all", "sum", "min", "max", "len", "set", "frozenset"}


def workflow_modules(tree: Tree) -> list[Source]:
    """The files that the rules of this page are about."""
    return [source for name, source in tree.package.items() if within(name, *WORKFLOW)]


def closure(tree: Tree) -> dict[str, tuple[str, str]]:
    """Everything that importing workflow code imports: dotted name -> (who imports it, what kind)."""
    reached: dict[str, tuple[str, str]] = {}
    waiting = [(f"{PACKAGE}.{source.name}", "the workflow") for source in workflow_modules(tree)]
    while waiting:
        name, by = waiting.pop()
        if name in reached:
            continue
        inner = name.removeprefix(PACKAGE).lstrip(".")
        source = tree.package.get(inner) if within(name, PACKAGE) else None
        reached[name] = (by, "product" if source else "outside")
        if source is None:
            continue
        waiting.extend((found.target, name) for found in tree.imports(source))
        if inner:
            waiting.append((name.rpartition(".")[0], name))
    return reached


def workflow_imports(tree: Tree) -> list[str]:
    """The import closure of workflow code holds nothing but what is allowed."""
    found = []
    for name, (by, kind) in sorted(closure(tree).items()):
        inner = name.removeprefix(PACKAGE).lstrip(".")
        if kind == "product":
            allowed = within(inner, *PRODUCT) or tree.package[inner].is_package
        else:
            allowed = name.partition(".")[0] in STANDARD | LIBRARIES
        if not allowed:
            found.append(f"{by} imports {name}, which workflow code may not reach")
    return found


def workflow_code(tree: Tree) -> list[str]:
    """No call, iteration or global in workflow code whose outcome can differ between two runs."""
    return [violation for source in workflow_modules(tree) for violation in _lint(source)]


def _lint(source: Source) -> Iterator[str]:
    yield from _globals(source)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Global):
            yield source.at(node, "a global that changes")
        elif isinstance(node, ast.Call) and _called(node) in FORBIDDEN_CALLS and isinstance(node.func, ast.Name):
            yield source.at(node, f"{_called(node)}() in workflow code")
    yield from _set_orders(source)


def _set_orders(source: Source) -> Iterator[str]:
    """Where the order of a set is taken; a name is a set within the outermost function that makes it one."""
    free = _order_free(source.tree)
    fields = _set_fields(source.tree)
    for scope in _scopes(source.tree):
        nodes = list(ast.walk(scope))
        sets = fields | _set_names(nodes)
        for node in nodes:
            for one in _ordered(node):
                if one not in free and _is_set(one, sets):
                    yield source.at(one, "the order of a set; sort it first")


def _set_fields(tree: ast.Module) -> set[str]:
    """The fields, as `.name`, that a class of the file declares or fills as sets."""
    declared = {f".{name}" for node in tree.body if isinstance(node, ast.ClassDef) for name in _set_names(node.body)}
    return declared | {name for name in _set_names(ast.walk(tree)) if name.startswith(".")}


def _scopes(tree: ast.Module) -> Iterator[ast.AST]:
    """The outermost functions, and every statement that stands outside one."""
    for node in tree.body:
        yield from node.body if isinstance(node, ast.ClassDef) else [node]


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""


def _globals(source: Source) -> Iterator[str]:
    """Module-level values that could be changed: displays and mutable makers without a read-only annotation."""
    for node in source.tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        if isinstance(node, ast.AnnAssign) and READ_ONLY & _names(node.annotation):
            continue
        names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
        display = isinstance(node.value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)
        made = isinstance(node.value, ast.Call) and _called(node.value) in MUTABLE_MAKERS
        if (display or made) and names != {"__all__"}:
            yield source.at(node, f"a mutable global ({', '.join(sorted(names))}); annotate it Mapping or Sequence")


def _names(node: ast.AST) -> set[str]:
    """The names and attributes that occur in an expression."""
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return names | {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}


def _outer(annotation: ast.AST | None) -> str:
    """`set` for `set[str]`."""
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    if isinstance(annotation, ast.Attribute):
        return annotation.attr
    return annotation.id if isinstance(annotation, ast.Name) else ""


def _set_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Names (of variables, arguments and, as `.name`, fields) that some of `nodes` make a set."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.AnnAssign) and _outer(node.annotation) in SET_NAMES:
            found |= _stored(node.target)
        elif isinstance(node, ast.arg) and _outer(node.annotation) in SET_NAMES:
            found.add(node.arg)
        elif isinstance(node, ast.Assign) and _is_set(node.value, set()):
            found |= {name for target in node.targets for name in _stored(target)}
    return found


def _stored(target: ast.AST) -> set[str]:
    if isinstance(target, ast.Attribute):
        return {f".{target.attr}"}
    return {target.id} if isinstance(target, ast.Name) else set()


def _is_set(node: ast.AST, known: set[str]) -> bool:
    """Whether an expression is, as far as its shape tells, a set."""
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call):
        return _called(node) in {"set", "frozenset"} or (
            _called(node) in {"union", "intersection", "difference", "symmetric_difference"}
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
        return _is_set(node.left, known) or _is_set(node.right, known)
    if isinstance(node, ast.Attribute):
        return f".{node.attr}" in known
    return isinstance(node, ast.Name) and node.id in known


def _order_free(tree: ast.Module) -> set[ast.AST]:
    """What is walked to an end that does not depend on the order: set displays, arguments of sorted() and the like."""
    free: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.SetComp):
            free |= {part.iter for part in node.generators}
        elif isinstance(node, ast.Call) and _called(node) in ORDER_FREE:
            free |= {part.iter for one in node.args if isinstance(one, ast.GeneratorExp) for part in one.generators}
    return free


def _ordered(node: ast.AST) -> Iterator[ast.AST]:
    """The expressions whose order this node takes."""
    if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
        yield node.iter
    elif isinstance(node, ast.Starred | ast.YieldFrom):
        yield node.value
    elif isinstance(node, ast.Call) and _called(node) in ORDER_TAKERS:
        yield from node.args
    elif (
        isinstance(node, ast.Call) and _called(node) == "pop" and isinstance(node.func, ast.Attribute) and not node.args
    ):
        yield node.func.value
