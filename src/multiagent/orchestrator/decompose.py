"""From a model's answer to a plan: parsed and checked, pure. Each complaint says exactly what is wrong and what would
do, so that a model can repair it.
"""

import json
import re
from collections.abc import Collection
from typing import Final

import msgspec

from multiagent.core.errors import PlanInvalid
from multiagent.core.plan import Node, Plan
from multiagent.orchestrator.dag import find_cycle

SCHEMA: Final = (
    '{"type":"object","additionalProperties":false,"required":["reason","tasks"],"properties":{"reason":{"type":"string"},'
    '"tasks":{"type":"array","minItems":1,"items":{"type":"object","additionalProperties":false,'
    '"required":["id","title","instruction","depends_on","tools","attachments"],"properties":{'
    '"id":{"type":"string","pattern":"^[a-z][a-z0-9_]{0,23}$"},"title":{"type":"string"},'
    '"instruction":{"type":"string"},"depends_on":{"type":"array","items":{"type":"string"}},'
    '"tools":{"type":"array","items":{"type":"string"}},"attachments":{"type":"array","items":{"type":"string"}}}}}}}'
)
"""The JSON Schema of an answer, as the response format carries it."""

SCHEMA_WITH_AGENTS: Final = SCHEMA.replace('"attachments"],', '"attachments","agent"],').replace(
    '"title":{"type":"string"},', '"title":{"type":"string"},"agent":{"type":"string"},'
)
"""The same where there are agents of the user's own: ``agent`` names one, or is empty."""

TITLE_CHARS: Final = 120
INSTRUCTION_CHARS: Final = 8_000
ID: Final = re.compile(r"[a-z][a-z0-9_]{0,23}")
_FENCE: Final = re.compile(r"\A```[a-z]*\s*\n(.*?)\n?```\s*\Z", re.DOTALL)


class Known(msgspec.Struct, frozen=True):
    """What a plan may name, and how many tasks it may have."""

    tools: tuple[str, ...]
    attachments: tuple[str, ...]
    most: int
    agents: tuple[str, ...] = ()


class Draft(msgspec.Struct, frozen=True):
    """An answer of the right shape, not yet checked."""

    tasks: tuple[Node, ...]
    reason: str = ""


def read_plan(text: str, known: Known) -> Plan:
    """Return the plan that an answer holds; PlanInvalid says what is wrong with it.

    A Markdown fence around the JSON is taken off. Repeated dependencies, tools and attachments are taken once.
    """
    draft = _parse(text)
    _check_size(draft.tasks, known)
    ids = [node.id for node in draft.tasks]
    for node in draft.tasks:
        _check_node(node, ids, known)
    cycle = find_cycle(draft.tasks)
    if cycle:
        raise PlanInvalid(f"the tasks {' → '.join((*cycle, cycle[0]))} wait for each other; remove one dependency")
    return Plan(tuple(_tidy(node, known) for node in draft.tasks), draft.reason.strip())


def _parse(text: str) -> Draft:
    body = text.strip()
    fenced = _FENCE.match(body)
    body = fenced.group(1) if fenced else body
    if not body:
        raise PlanInvalid("the answer is empty; answer with one JSON object")
    try:
        return msgspec.convert(json.loads(body), Draft)
    except msgspec.ValidationError as error:
        raise PlanInvalid(f"the plan has not the right shape: {error}") from None
    except (ValueError, RecursionError) as error:
        raise PlanInvalid(f"the answer is not JSON: {str(error)[:200]}; answer with one JSON object only") from None


def _check_size(nodes: tuple[Node, ...], known: Known) -> None:
    if not nodes:
        raise PlanInvalid("the plan has no task; it needs at least one")
    if len(nodes) > known.most:
        raise PlanInvalid(f"the plan has {len(nodes)} tasks; at most {known.most} are allowed, so join some")


def _check_node(node: Node, ids: list[str], known: Known) -> None:
    if not ID.fullmatch(node.id):
        raise PlanInvalid(f"the id {node.id[:40]!r} is not a lower-case letter and up to 23 of a-z, 0-9 and _")
    if ids.count(node.id) > 1:
        raise PlanInvalid(f"the id {node.id!r} stands twice; ids must differ")
    if not node.title.strip() or len(node.title) > TITLE_CHARS:
        raise PlanInvalid(f"task {node.id}: the title must have 1 to {TITLE_CHARS} characters")
    if not node.instruction.strip() or len(node.instruction) > INSTRUCTION_CHARS:
        raise PlanInvalid(f"task {node.id}: the instruction must have 1 to {INSTRUCTION_CHARS} characters")
    if node.id in node.depends_on:
        raise PlanInvalid(f"task {node.id} depends on itself; remove that")
    _check_names(node.id, "depends_on", node.depends_on, ids)
    _check_names(node.id, "tools", node.tools, known.tools)
    _check_names(node.id, "attachments", node.attachments, known.attachments)
    if known.agents:
        _check_names(node.id, "agent", (node.agent,) if node.agent else (), known.agents)


def _check_names(node: str, field: str, names: tuple[str, ...], allowed: Collection[str]) -> None:
    unknown = [name for name in names if name not in allowed]
    if unknown:
        choice = ", ".join(allowed) if allowed else "nothing: leave it empty"
        raise PlanInvalid(f"task {node}: {field} names {unknown[0][:80]!r}, which does not exist; choose from {choice}")


def _tidy(node: Node, known: Known) -> Node:
    return Node(
        node.id,
        " ".join(node.title.split()),
        node.instruction.strip(),
        tuple(dict.fromkeys(node.depends_on)),
        tuple(dict.fromkeys(node.tools)),
        tuple(dict.fromkeys(node.attachments)),
        agent=node.agent if node.agent in known.agents else "",
    )
