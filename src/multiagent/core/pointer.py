"""Putting a value at a place in JSON: a JSON Pointer (RFC 6901: ``/rows/0/name``) or dotted names (``rows.0.name``)."""

import msgspec

from multiagent.core.errors import InvalidInput


def parts(path: str) -> list[str]:
    """Return the steps of a path; the empty pointer is the whole document."""
    if path.startswith("/"):
        return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
    return path.split(".") if path else []


def put(document: object, path: str, value: object) -> object:
    """Return a copy of decoded JSON with ``value`` at ``path``: a member of an object, new or not, or an item of an
    array; ``-`` appends. InvalidInput where nothing is there to take it.
    """
    return _put(document, parts(path), value, path)


def _put(document: object, rest: list[str], value: object, path: str) -> object:
    if not rest:
        return value
    name, *deeper = rest
    if isinstance(document, dict):
        if deeper and name not in document:
            raise InvalidInput(
                f"{path!r} fits nothing: there is no {name!r}; there are {', '.join(document) or 'none'}"
            )
        return {**document, name: _put(document.get(name), deeper, value, path)}
    if isinstance(document, list):
        if name == "-" and not deeper:
            return [*document, value]
        if not name.isdecimal() or int(name) >= len(document):
            raise InvalidInput(f"{path!r} fits nothing: the array has {len(document)} items, and no {name!r}")
        at = int(name)
        return [*document[:at], _put(document[at], deeper, value, path), *document[at + 1 :]]
    raise InvalidInput(f"{path!r} fits nothing: {name!r} is asked of {_kind(document)}, not of an object or array")


def _kind(value: object) -> str:
    return msgspec.json.encode(value).decode()[:40]


def assignment(text: str) -> tuple[str, object]:
    """Return ``PATH=VALUE`` as path and value: JSON, or text where it is none. InvalidInput without a path."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise InvalidInput(f'{text!r} is not PATH=VALUE, for example amount=3 or /rows/0/name="Ada"')
    try:
        return path, msgspec.json.decode(value.encode())
    except (msgspec.MsgspecError, ValueError):
        return path, value
