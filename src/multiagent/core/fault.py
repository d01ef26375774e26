"""Named places at which tests make a process die. Without an action, which only ``app`` sets, they do nothing."""

from collections.abc import Callable

_actions: list[Callable[[str], None]] = []


def fault(name: str) -> None:
    """Pass the place of that name: call the action where one is set."""
    for action in _actions:
        action(name)


def set_action(action: Callable[[str], None] | None) -> None:
    """Call ``action`` with each place's name from now on; None: do nothing again."""
    _actions.clear()
    if action is not None:
        _actions.append(action)
