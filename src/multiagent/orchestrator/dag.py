"""A plan as a graph, pure: cycles, order, what is ready, and what a failed dependency means."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from multiagent.core.plan import Node

FailedDependency = Literal["skip", "continue"]
"""What becomes of a task with a failed dependency: ``skip`` skips it; ``continue`` lets it go on with what there is,
and skips it only where every dependency failed."""

Readiness = Literal["blocked", "ready", "skip"]


def find_cycle(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Return the ids along one cycle, in order; empty where there is none. Unknown dependencies are no edges.

    A depth-first search with three colours (Cormen et al., "Introduction to Algorithms", §20.3).
    """
    edges = {node.id: node.depends_on for node in nodes}
    done: set[str] = set()
    for node in nodes:
        path: list[str] = []
        waiting = [(node.id, False)]
        while waiting:
            name, left = waiting.pop()
            if left:
                done.add(path.pop())
                continue
            if name in path:
                return tuple(path[path.index(name) :])
            if name in done:
                continue
            path.append(name)
            waiting.append((name, True))
            waiting.extend((one, False) for one in reversed(edges[name]) if one in edges)
    return ()


def order(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Return the ids so that each comes after its dependencies, else in plan order; ValueError on a cycle."""
    placed: dict[str, None] = {}
    known = {node.id for node in nodes}
    while len(placed) < len(nodes):
        free = [
            node.id
            for node in nodes
            if node.id not in placed and all(one in placed or one not in known for one in node.depends_on)
        ]
        if not free:
            raise ValueError(f"the tasks {', '.join(find_cycle(nodes))} wait for each other")
        placed.update(dict.fromkeys(free))
    return tuple(placed)


def readiness(node: Node, statuses: Mapping[str, str], policy: FailedDependency = "continue") -> Readiness:
    """Return whether a task may start now, given the final statuses of the tasks that have ended."""
    if any(one not in statuses for one in node.depends_on):
        return "blocked"
    good = [one for one in node.depends_on if statuses[one] == "completed"]
    if len(good) == len(node.depends_on):
        return "ready"
    return "ready" if policy == "continue" and good else "skip"


def waiting(nodes: Sequence[Node], started: Collection[str]) -> tuple[Node, ...]:
    """Return the tasks that have not been started, in plan order."""
    return tuple(node for node in nodes if node.id not in started)


def leaves(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Return the ids that nothing depends on, in plan order: what the answer is made of."""
    needed = {one for node in nodes for one in node.depends_on}
    return tuple(node.id for node in nodes if node.id not in needed)
