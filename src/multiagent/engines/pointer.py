"""JSON Pointer (RFC 6901), strictly: a result is edited where something stands, nothing is added to it."""

from multiagent.core.errors import InvalidInput


def parts(pointer: str) -> tuple[str, ...]:
    """Return a pointer's reference tokens; the empty pointer, which means the whole value, has none.

    Raises InvalidInput where the text is no pointer.
    """
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise InvalidInput(f"the JSON pointer {pointer!r} does not begin with '/'; an empty one means the whole value")
    return tuple(_unescaped(part, pointer) for part in pointer[1:].split("/"))


def _unescaped(part: str, pointer: str) -> str:
    if part.replace("~0", "").replace("~1", "").count("~"):
        raise InvalidInput(f"the JSON pointer {pointer!r} has a '~' that is neither '~0' nor '~1'")
    return part.replace("~1", "/").replace("~0", "~")


def replaced(document: object, pointer: str, value: object) -> object:
    """Return a copy of a JSON value with ``value`` in the place of what stands at a pointer; the rest is shared.

    Raises InvalidInput where nothing stands there: a pointer cannot add.
    """
    return _replaced(document, parts(pointer), 0, pointer, value)


def _replaced(document: object, path: tuple[str, ...], depth: int, pointer: str, value: object) -> object:
    if depth == len(path):
        return value
    part = path[depth]
    if isinstance(document, dict) and part in document:
        inner = _replaced(document[part], path, depth + 1, pointer, value)
        return {**document, part: inner}
    if isinstance(document, list) and (place := _place(part, len(document))) is not None:
        inner = _replaced(document[place], path, depth + 1, pointer, value)
        return [*document[:place], inner, *document[place + 1 :]]
    raise InvalidInput(f"nothing stands at {pointer!r}: {_there(document, part)}", details={"pointer": pointer})


def _place(part: str, length: int) -> int | None:
    """Return the index that a token names: digits, no leading zero, within the list."""
    if not (part.isascii() and part.isdigit()) or (part[0] == "0" and part != "0"):
        return None
    return int(part) if len(part) < 10 and int(part) < length else None


def _there(document: object, part: str) -> str:
    if isinstance(document, dict):
        known = ", ".join(repr(name) for name in list(document)[:12]) or "nothing"
        return f"there is no {part!r} among {known}"
    if isinstance(document, list):
        return f"{part!r} is no place in a list of {len(document)}"
    return f"{part!r} leads into a value that is neither an object nor a list"
