"""JSON Schemas of tools: made from records, or given as text and compiled to a check."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from multiagent.core.errors import ConfigInvalid, ToolArguments

Record = TypeVar("Record", bound=msgspec.Struct)
_ERRORS_SHOWN = 3


def schema_of(record: type[msgspec.Struct]) -> str:
    """Return the JSON Schema of a record as JSON text, its top level an object (models' vendors want no ``$ref``)."""
    schema = msgspec.json.schema(record)
    definitions = dict(schema.pop("$defs", {}))
    top = definitions.pop(schema.pop("$ref").rpartition("/")[2])
    top.pop("title", None)
    top.pop("description", None)
    if definitions:
        top["$defs"] = definitions
    return msgspec.json.encode(top).decode()


def decode_arguments(arguments: bytes, record: type[Record]) -> Record:
    """Return arguments as that record; ToolArguments names what does not fit."""
    try:
        return msgspec.json.decode(arguments or b"{}", type=record)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ToolArguments(f"the arguments do not fit: {error}") from error


def compile_check(schema: str) -> Callable[[object], None]:
    """Return a check of decoded arguments against a JSON Schema; it raises ToolArguments with the first misfits.

    ConfigInvalid where the schema is not one, or refers to a document outside of itself: nothing is fetched.
    """
    import jsonschema_rs

    try:
        validator = jsonschema_rs.validator_for(msgspec.json.decode(schema), offline=True)
    except (ValueError, msgspec.MsgspecError) as error:
        raise ConfigInvalid(f"not a usable JSON Schema: {str(error).splitlines()[0]}") from error

    def check(value: object) -> None:
        found = []
        for misfit in validator.iter_errors(value):
            place = "/".join(map(str, misfit.instance_path))
            found.append(f"{misfit.message} - at `{place}`" if place else misfit.message)
            if len(found) == _ERRORS_SHOWN:
                break
        if found:
            raise ToolArguments(f"the arguments do not fit: {'; '.join(found)}")

    return check
