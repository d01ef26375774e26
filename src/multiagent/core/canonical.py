"""Canonical JSON (RFC 8785) and domain-separated hashes over it.

One rule is ours: integers beyond ±2**53, which RFC 8785 cannot carry, are written as strings.
"""

import hashlib
import json
import math
from typing import Final

import msgspec

_SAFE: Final = 1 << 53
_ESCAPE: Final = json.encoder.encode_basestring


def canonical(value: object) -> bytes:
    """Return the canonical JSON of a msgspec-encodable value (Structs, mappings with text keys, lists, scalars).

    Raises ValueError on NaN and infinities, TypeError on what JSON cannot hold.
    """
    out: list[str] = []
    _write(msgspec.to_builtins(value, str_keys=False, builtin_types=()), out)
    return "".join(out).encode("utf-8", "surrogatepass")


def digest(domain: str, value: object) -> str:
    """Return the SHA-256 (64 hex digits) of a domain name, a zero byte and the canonical JSON of the value."""
    return digest_bytes(domain, canonical(value))


def digest_bytes(domain: str, data: bytes) -> str:
    """Return the SHA-256 (64 hex digits) of a domain name, a zero byte and raw bytes."""
    return hashlib.sha256(domain.encode("ascii") + b"\0" + data).hexdigest()


def _write(value: object, out: list[str]) -> None:
    if isinstance(value, str):
        out.append(_ESCAPE(value))
    elif value is None or value is True or value is False:
        out.append({None: "null", True: "true", False: "false"}[value])
    elif isinstance(value, int):
        out.append(str(value) if -_SAFE <= value <= _SAFE else f'"{value}"')
    elif isinstance(value, float):
        out.append(number(value))
    elif isinstance(value, dict):
        _write_object(value, out)
    elif isinstance(value, list | tuple):
        _write_array(value, out)
    else:
        raise TypeError(f"canonical JSON cannot hold {type(value).__name__}")


def _write_object(value: dict[object, object], out: list[str]) -> None:
    keys: list[str] = []
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"canonical JSON has text keys only, not {type(key).__name__}")
        keys.append(key)
    keys.sort(key=_utf16)
    out.append("{")
    for position, key in enumerate(keys):
        if position:
            out.append(",")
        out.append(_ESCAPE(key))
        out.append(":")
        _write(value[key], out)
    out.append("}")


def _write_array(value: list[object] | tuple[object, ...], out: list[str]) -> None:
    out.append("[")
    for position, item in enumerate(value):
        if position:
            out.append(",")
        _write(item, out)
    out.append("]")


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def number(value: float) -> str:
    """Return a float as ECMAScript's Number.prototype.toString would (RFC 8785 §3.2.2.3)."""
    if not math.isfinite(value):
        raise ValueError("canonical JSON has no NaN and no infinity")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    return sign + _layout(digits, point)


def _layout(digits: str, point: int) -> str:
    count = len(digits)
    if count <= point <= 21:
        return digits + "0" * (point - count)
    if 0 < point <= 21:
        return digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    exponent = point - 1
    tail = f"e{'+' if exponent > 0 else '-'}{abs(exponent)}"
    return digits[0] + ("." + digits[1:] if count > 1 else "") + tail
