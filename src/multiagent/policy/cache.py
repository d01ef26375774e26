"""Decisions that were taken, by bundle and whole typed question: bounded, least recently used out first."""

from collections import OrderedDict

from multiagent.core.decision import Decision


class DecisionCache:
    """At most ``size`` decisions. The key holds everything a decision can depend on, so nothing ever expires."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._found: OrderedDict[tuple[str, bytes], Decision] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def get(self, bundle: str, question: bytes) -> Decision | None:
        """Return what this bundle decided on this encoded question."""
        key = (bundle, question)
        decision = self._found.get(key)
        if decision is None:
            self.misses += 1
            return None
        self.hits += 1
        self._found.move_to_end(key)
        return decision

    def put(self, bundle: str, question: bytes, decision: Decision) -> None:
        """Keep a decision, dropping the one that was not asked for longest."""
        self._found[bundle, question] = decision
        if len(self._found) > self._size:
            self._found.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._found.clear()

    def __len__(self) -> int:
        return len(self._found)
