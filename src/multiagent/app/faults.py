"""Makes this process die at a named place, for crash tests: ``MULTIAGENT_FAULT=gate.after-reserve:3``."""

import os
import signal
from collections.abc import Mapping
from typing import Final

from multiagent.core.errors import ConfigInvalid
from multiagent.core.fault import set_action

VARIABLE: Final = "MULTIAGENT_FAULT"


def arm(environment: Mapping[str, str]) -> None:
    """Kill this process (SIGKILL) at the n-th pass of the place that the variable names; nothing where it is unset.

    Raises ConfigInvalid where the count is no number.
    """
    wanted = environment.get(VARIABLE, "")
    if not wanted:
        set_action(None)
        return
    place, _, count = wanted.partition(":")
    if count and not count.isdecimal():
        raise ConfigInvalid(f"{VARIABLE} is PLACE or PLACE:COUNT, not {wanted!r}")
    left = int(count or 1)

    def pass_by(name: str) -> None:
        nonlocal left
        if name == place:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    set_action(pass_by)
