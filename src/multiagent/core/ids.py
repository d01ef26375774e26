"""ULIDs (https://github.com/ulid/spec): 48 bits of milliseconds, 80 bits of randomness, 26 Crockford characters."""

from typing import Final, Protocol

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_SHIFTS: Final = tuple(range(120, -1, -10))
_LENGTH: Final = 26
_RANDOM_BITS: Final = 80


class Ids(Protocol):
    """A source of new ULIDs; the real one is in ``app.system``, a counted one in ``testing``."""

    def __call__(self) -> str:
        """Return an id never returned before, ordered after all ids of earlier milliseconds."""
        ...


def ulid(time_ms: int, randomness: int) -> str:
    """Encode a time (0 ≤ ms < 2**48) and 80 random bits as a ULID.

    Raises ValueError where either is out of range.
    """
    if not 0 <= time_ms < 1 << 48:
        raise ValueError(f"a ULID's time is 48 bits of milliseconds, not {time_ms}")
    if not 0 <= randomness < 1 << _RANDOM_BITS:
        raise ValueError("a ULID has 80 random bits")
    value = time_ms << _RANDOM_BITS | randomness
    return "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])


def ulid_time(text: str) -> int:
    """Return the milliseconds of a ULID; ValueError where the text is none."""
    if len(text) != _LENGTH or any(character not in _VALUES for character in text):
        raise ValueError(f"not a ULID: {text[:40]!r}")
    value = 0
    for character in text:
        value = value << 5 | _VALUES[character]
    if value >> 128:
        raise ValueError(f"not a ULID: {text!r} is over 128 bits")
    return value >> _RANDOM_BITS
