"""A run as whoever goes on with it takes it over."""

import msgspec

from multiagent.engines.actions import Yielded
from multiagent.engines.kernel import Kernel
from multiagent.storage.sql.base import TaskRow
from multiagent.storage.sql.ops import Op


class Opened(msgspec.Struct, frozen=True):
    """A run that may begin in this process: new, or brought up to its journal's last row.

    ``fresh``: no step that waits to be begun was begun before. ``ops`` go into its first transaction.
    """

    row: TaskRow
    kernel: Kernel
    tail: Yielded
    principal: tuple[str, str]
    fresh: bool
    outcomes: int = 0
    time: int = 0
    signals: tuple[str, ...] = ()
    ops: tuple[Op, ...] = ()
