"""Taint: marks that content carries to whatever it touches, so that policy can see them."""

from collections.abc import Iterable
from typing import Final

UNTRUSTED: Final = "untrusted"
"""Came from outside: an upload, a web page, a tool's answer."""

PRIVATE: Final = "private"
"""Holds the tenant's or a person's own data."""

Labels = tuple[str, ...]
"""Sorted, without repeats."""


def join(*groups: Iterable[str]) -> Labels:
    """Return the labels of something made from all the given parts."""
    return tuple(sorted({label for group in groups for label in group}))
