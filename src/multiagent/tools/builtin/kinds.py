"""What sort of file an attachment is, from its name, media type and first lines. Pure."""

from typing import Final, Literal

Kind = Literal["table", "text", "json", "pdf", "binary"]

PDF_MARK: Final = b"%PDF-"
_TABLES: Final = (".csv", ".tsv", ".tab")
_PROSE: Final = (".md", ".markdown", ".rst", ".log", ".py", ".js", ".html", ".xml", ".yaml", ".yml", ".toml")
_DELIMITERS: Final = "\t,;|"


def kind_of(name: str, media_type: str, head: str) -> Kind:
    """Return the kind of a text file whose beginning is ``head``."""
    lower = name.lower()
    if lower.endswith((".json", ".jsonl", ".ndjson", ".geojson")) or media_type.endswith(("/json", "+json")):
        return "json"
    if lower.endswith(_TABLES) or media_type in {"text/csv", "text/tab-separated-values"}:
        return "table"
    if lower.endswith(_PROSE):
        return "text"
    if head.lstrip().startswith(("{", "[")) and head.rstrip().endswith(("}", "]")):
        return "json"
    return "table" if delimiter(head) else "text"


def delimiter(head: str) -> str:
    """Return the character that parts most lines (comments aside) into the same number of fields; empty for none."""
    lines = [line for line in head.split("\n")[:-1] or [head] if line.strip() and not line.startswith("#")]
    if len(lines) < 3:
        return ""
    for mark in _DELIMITERS:
        counts = [line.count(mark) for line in lines]
        usual = max(set(counts), key=counts.count)
        prose = mark == "," and sum(line.count(", ") == line.count(",") for line in lines) > 0.7 * len(lines)
        if usual and counts.count(usual) >= 0.8 * len(lines) and not prose:
            return mark
    return ""
