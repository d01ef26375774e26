"""Fault points do nothing until a test's process arms them."""

import pytest

from multiagent.core.fault import fault, set_action


def test_a_place_is_passed_unseen() -> None:
    fault("anywhere")


def test_an_action_is_told_each_place_until_it_is_taken_away() -> None:
    """And what it raises comes out at the place."""
    seen: list[str] = []

    def action(name: str) -> None:
        seen.append(name)
        if name == "there":
            raise KeyboardInterrupt

    set_action(action)
    try:
        fault("here")
        with pytest.raises(KeyboardInterrupt):
            fault("there")
    finally:
        set_action(None)
    fault("here")
    assert seen == ["here", "there"]
