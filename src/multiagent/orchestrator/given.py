"""Plans that a user wrote, pure: a parsed document becomes a plan, or a list of what is wrong with it and where.

The form is the seed's ``TaskDecomposition``: ``mode``, ``tasks`` (``agent_tasks``), and the edges either as each task's
``depends_on`` or as ``edges`` (``dag: {edges: …}``), each ``{from: t1, to: t2}`` or ``[t1, t2]``.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from multiagent.core.plan import MODES, STRATEGIES, Mode, Node, Plan, Strategy
from multiagent.core.tier import TIERS, Tier
from multiagent.orchestrator.dag import find_cycle
from multiagent.orchestrator.decompose import ID, INSTRUCTION_CHARS, TITLE_CHARS

_C = TypeVar("_C", Mode, Tier, Strategy)

Path = tuple[str | int, ...]
"""Where something stands in a document: ``("tasks", 1, "tools", 0)``."""

PLAN_KEYS: Final = ("mode", "complexity_score", "reason", "tasks", "agent_tasks", "edges", "dag")
TASK_KEYS: Final = ("id", "title", "instruction", "depends_on", "tools", "attachments", "tier", "strategy", "agent")


class Names(msgspec.Struct, frozen=True):
    """What a plan may name, and how many tasks it may have. None: whoever runs it will know."""

    tools: tuple[str, ...] | None
    attachments: tuple[str, ...] | None
    agents: tuple[str, ...] | None
    most: int


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong, where it stands, and what would do."""

    at: Path
    text: str

    @property
    def field(self) -> str:
        """The path as a person writes it: ``tasks[1].tools[0]``."""
        told = ""
        for part in self.at:
            told += f"[{part}]" if isinstance(part, int) else f".{part}" if told else part
        return told or "the plan"


class Reader:
    """Reads one document; ``problems`` are in the order in which they were found."""

    def __init__(self, document: object, names: Names) -> None:
        self._document = document
        self._names = names
        self.problems: list[Problem] = []

    def plan(self) -> Plan | None:
        """Return the plan; None where ``problems`` say why there is none."""
        given = self._mapping(self._document, (), PLAN_KEYS)
        if given is None:
            return None
        key = "agent_tasks" if "agent_tasks" in given and "tasks" not in given else "tasks"
        listed = self._list(given.get(key), (key,))
        if not listed and not self.problems:
            self._wrong((key,), "the plan has no task; give at least one")
        if len(listed) > self._names.most:
            self._wrong(
                (key,), f"{len(listed)} tasks are too many; at most {self._names.most} are allowed (task.max_nodes)"
            )
            return None
        nodes = [self._node(one, (key, number)) for number, one in enumerate(listed)]
        self._unique(nodes, key)
        edged = self._edges(given, [node.id for node in nodes])
        nodes = [msgspec.structs.replace(node, depends_on=_once(*node.depends_on, *edged[node.id])) for node in nodes]
        self._dependencies(nodes, key)
        mode, reason = self._choice(given, (), "mode", MODES), self._text(given, (), "reason", "", 1_000)
        self._score(given)
        return None if self.problems else Plan(tuple(nodes), reason, mode=mode)

    def _node(self, value: object, at: Path) -> Node:
        given = self._mapping(value, at, TASK_KEYS) or {}
        identity = self._text(given, at, "id", None, 24)
        if identity and not ID.fullmatch(identity):
            self._wrong((*at, "id"), f"{identity!r} is no id; write a lower-case letter and up to 23 of a-z, 0-9 and _")
        instruction = self._text(given, at, "instruction", None, INSTRUCTION_CHARS)
        first = " ".join(instruction.split())
        title = self._text(given, at, "title", first if len(first) <= 60 else f"{first[:59]}…", TITLE_CHARS)
        agent = self._text(given, at, "agent", "", 64)
        if agent:
            self._known(agent, (*at, "agent"), "agent", self._names.agents)
        return Node(
            identity,
            " ".join(title.split()),
            instruction.strip(),
            self._texts(given, at, "depends_on"),
            self._named(given, at, "tools", "tool", self._names.tools),
            self._named(given, at, "attachments", "attachment", self._names.attachments),
            self._choice(given, at, "tier", TIERS),
            self._choice(given, at, "strategy", STRATEGIES),
            agent,
        )

    def _edges(self, given: Mapping[str, object], ids: list[str]) -> dict[str, list[str]]:
        """Return what each task waits for according to ``edges``."""
        waits: dict[str, list[str]] = {one: [] for one in ids}
        at: Path = ("edges",)
        listed = given.get("edges")
        if listed is None and given.get("dag") is not None:
            at = ("dag", "edges")
            listed = (self._mapping(given["dag"], ("dag",), ("edges",)) or {}).get("edges")
        for number, edge in enumerate(self._list(listed, at)):
            ends = _ends(edge)
            if ends is None:
                self._wrong((*at, number), "an edge is {from: ID, to: ID} or [ID, ID]")
                continue
            unknown = [one for one in ends if one not in waits]
            for one in unknown:
                self._wrong((*at, number), f"there is no task {one!r}; the tasks are {', '.join(ids)}")
            if not unknown:
                waits[ends[1]].append(ends[0])
        return waits

    def _dependencies(self, nodes: list[Node], key: str) -> None:
        ids = [node.id for node in nodes]
        for number, node in enumerate(nodes):
            for place, one in enumerate(node.depends_on):
                at: Path = (key, number, "depends_on", place)
                if one == node.id:
                    self._wrong(at, f"{one!r} waits for itself; remove that")
                elif one not in ids:
                    self._wrong(at, f"there is no task {one!r}; the tasks are {', '.join(ids)}")
        cycle = () if self.problems else find_cycle(nodes)
        if cycle:
            number = ids.index(cycle[0])
            self._wrong(
                (key, number, "depends_on"),
                f"{' → '.join((*cycle, cycle[0]))} wait for each other; remove one of these edges",
            )

    def _unique(self, nodes: list[Node], key: str) -> None:
        seen: Counter[str] = Counter()
        for number, node in enumerate(nodes):
            seen[node.id] += 1
            if node.id and seen[node.id] == 2:
                self._wrong((key, number, "id"), f"there is a task {node.id!r} already; ids must differ")

    def _score(self, given: Mapping[str, object]) -> None:
        score = given.get("complexity_score")
        number = isinstance(score, int | float) and not isinstance(score, bool)
        if score is not None and not (number and 0 <= float(str(score)) <= 1):
            self._wrong(("complexity_score",), f"{score!r} is no score; write a number from 0 to 1, or leave it out")

    def _mapping(self, value: object, at: Path, keys: Sequence[str]) -> Mapping[str, object] | None:
        if not isinstance(value, Mapping):
            self._wrong(at, f"{_shape(value)} stands here; write a mapping with {', '.join(keys)}")
            return None
        for key in value:
            if key not in keys:
                self._wrong((*at, str(key)), f"unknown field; the fields are {', '.join(keys)}")
        return value

    def _list(self, value: object, at: Path) -> Sequence[object]:
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            self._wrong(at, f"{_shape(value)} stands here; write a list")
            return ()
        return value

    def _text(self, given: Mapping[str, object], at: Path, key: str, default: str | None, most: int) -> str:
        value = given.get(key, default)
        if value is None or value == "":
            if default is None:
                self._wrong((*at, key), "missing; every task needs one")
            return default or ""
        if not isinstance(value, str):
            self._wrong((*at, key), f"{_shape(value)} stands here; write text (in quotes)")
            return default or ""
        if not value.strip() or len(value) > most:
            self._wrong((*at, key), f"the text has {len(value)} characters; 1 to {most} are allowed")
        return value

    def _texts(self, given: Mapping[str, object], at: Path, key: str) -> tuple[str, ...]:
        texts: list[str] = []
        for number, one in enumerate(self._list(given.get(key), (*at, key))):
            if isinstance(one, str):
                texts.append(one)
            else:
                self._wrong((*at, key, number), f"{_shape(one)} stands here; write a name")
        return tuple(texts)

    def _named(
        self, given: Mapping[str, object], at: Path, key: str, what: str, known: Collection[str] | None
    ) -> tuple[str, ...]:
        found = self._texts(given, at, key)
        for number, one in enumerate(found):
            self._known(one, (*at, key, number), what, known)
        return _once(*found)

    def _known(self, name: str, at: Path, what: str, known: Collection[str] | None) -> None:
        if known is not None and name not in known:
            choice = f"choose from {', '.join(known)}" if known else "there is none"
            self._wrong(at, f"unknown {what} {name[:80]!r}; {choice}")

    def _choice(self, given: Mapping[str, object], at: Path, key: str, choices: Sequence[_C]) -> _C | None:
        value = given.get(key)
        for one in choices:
            if value == one:
                return one
        if value is not None:
            self._wrong((*at, key), f"unknown {key} {str(value)[:80]!r}; choose from {', '.join(choices)}")
        return None

    def _wrong(self, at: Path, text: str) -> None:
        self.problems.append(Problem(at, text))


def of_plan(plan: Plan) -> dict[str, object]:
    """Return a plan as a document that reads as this plan."""
    return {
        "mode": plan.mode,
        "reason": plan.reason,
        "tasks": [msgspec.to_builtins(node, builtin_types=()) for node in plan.tasks],
    }


def _ends(edge: object) -> tuple[str, str] | None:
    if isinstance(edge, Mapping) and sorted(str(one) for one in edge) == ["from", "to"]:
        edge = [edge["from"], edge["to"]]
    if not isinstance(edge, list | tuple) or len(edge) != 2:
        return None
    first, second = edge
    return (first, second) if isinstance(first, str) and isinstance(second, str) else None


def _once(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _shape(value: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), f"the value {str(value)[:40]!r}")
