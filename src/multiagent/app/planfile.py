"""A plan in a file, YAML or JSON, read so that every complaint names its line and field."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from multiagent.core.errors import PlanInvalid
from multiagent.core.plan import Plan
from multiagent.orchestrator.given import Names, Problem, Reader
from multiagent.orchestrator.given import Path as Field

if TYPE_CHECKING:
    from yaml import Node as YamlNode

MOST_BYTES: Final = 1 << 20
TOLD: Final = 10
"""So many problems are told at once."""


def read_plan_file(path: Path, names: Names) -> Plan:
    """Return the plan that a file holds; PlanInvalid with every problem, its line and its field."""
    text = _text(path)
    document, lines = _parsed(path, text)
    reader = Reader(document, names)
    plan = reader.plan()
    if plan is None:
        raise invalid(reader.problems, str(path), lines)
    return plan


def invalid(problems: list[Problem], source: str, lines: Mapping[Field, int]) -> PlanInvalid:
    """Return the error that tells these problems; ``lines`` knows the lines of fields (from 1)."""
    told = [f"{_place(one.at, lines)}{one.field}: {one.text}" for one in problems[:TOLD]]
    more = f"\n  … and {len(problems) - TOLD} more" if len(problems) > TOLD else ""
    first = problems[0]
    details = {"field": first.field, "line": line_of(first.at, lines), "problems": told}
    if len(told) == 1:
        return PlanInvalid(f"{source}: {told[0]}", details=details)
    return PlanInvalid(f"{source}: {len(problems)} problems:\n  " + "\n  ".join(told) + more, details=details)


def line_of(at: Field, lines: Mapping[Field, int]) -> int:
    """Return the line of a field, or of what it stands in; 0 where lines are not known."""
    for length in range(len(at), -1, -1):
        if at[:length] in lines:
            return lines[at[:length]]
    return 0


def _place(at: Field, lines: Mapping[Field, int]) -> str:
    line = line_of(at, lines)
    return f"line {line}, " if line else ""


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PlanInvalid(f"{path}: the file has over {MOST_BYTES >> 20} MiB; a plan is a short text")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PlanInvalid(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise PlanInvalid(f"{path}: is not UTF-8 text; save it as UTF-8") from None


def _parsed(path: Path, text: str) -> tuple[object, Mapping[Field, int]]:
    """Return the document and the line of each of its fields."""
    if not text.strip():
        raise PlanInvalid(f"{path}: is empty; write a plan, as docs/agents.md shows it")
    if path.suffix.lower() == ".json" or text.lstrip().startswith("{"):
        try:
            document = json.loads(text, object_pairs_hook=_pairs)
        except PlanInvalid as error:
            raise PlanInvalid(f"{path}: {error.message}") from None
        except json.JSONDecodeError as error:
            raise PlanInvalid(f"{path}: line {error.lineno}, column {error.colno}: {error.msg}") from None
        except RecursionError:
            raise PlanInvalid(f"{path}: is nested too deeply for a plan") from None
        return document, _json_lines(text.replace("\t", " "))
    return _yaml(path, text)


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise PlanInvalid(f"the field {twice!r} stands twice in one place; remove one")
    return dict(pairs)


def _json_lines(text: str) -> Mapping[Field, int]:
    """Lines of JSON, which YAML reads too; none where it does not (the problems then name their fields alone)."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        return _Lines(root).found if root is not None else {}
    except (yaml.YAMLError, RecursionError, PlanInvalid):
        return {}


def _yaml(path: Path, text: str) -> tuple[object, Mapping[Field, int]]:
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        found = _Lines(root).found if root is not None else {}
        document = yaml.load(text, Loader=yaml.SafeLoader)
    except PlanInvalid as error:
        raise PlanInvalid(f"{path}: {error.message}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise PlanInvalid(f"{path}: {where}{error.problem or error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PlanInvalid(f"{path}: is no YAML: {error}") from None
    if root is None:
        raise PlanInvalid(f"{path}: holds only comments; write a plan, as docs/agents.md shows it")
    return document, found


class _Lines:
    """The line of every field of a composed document. Anchors are refused: a few of them can stand for gigabytes."""

    def __init__(self, root: "YamlNode") -> None:
        self.found: dict[Field, int] = {}
        self._seen: set[int] = set()
        self._walk(root, ())

    def _walk(self, node: "YamlNode", at: Field) -> None:
        from yaml import MappingNode, SequenceNode

        line = node.start_mark.line + 1
        if id(node) in self._seen:
            raise PlanInvalid(f"line {line}: *aliases are not allowed in a plan; write it out")
        self._seen.add(id(node))
        self.found.setdefault(at, line)
        if isinstance(node, MappingNode):
            names: set[str] = set()
            for key, value in node.value:
                name = str(key.value)
                if name in names:
                    raise PlanInvalid(f"line {key.start_mark.line + 1}: the field {name!r} stands twice; remove one")
                names.add(name)
                self.found[*at, name] = key.start_mark.line + 1
                self._walk(value, (*at, name))
        elif isinstance(node, SequenceNode):
            for number, value in enumerate(node.value):
                self._walk(value, (*at, number))
