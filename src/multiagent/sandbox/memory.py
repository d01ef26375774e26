"""How much memory this process took at most, since a moment: only Linux can tell."""

from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"


class PeakMemory:
    """The growth of this process's peak resident memory since this object was made, in bytes."""

    def __init__(self) -> None:
        self._base: int | None = None
        try:
            CLEAR.write_text(RESET_PEAK)
            self._base = _field("VmHWM:")
        except OSError:
            return

    def read(self) -> int | None:
        """Return the growth in bytes, or None where the system does not tell."""
        peak = None if self._base is None else _field("VmHWM:")
        return None if peak is None or self._base is None else max(0, peak - self._base)


def _field(name: str) -> int | None:
    for line in STATUS.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return None
