"""What a query wants: operations by its words, in English and Chinese, and which columns, values and files it names."""

import difflib
import functools
import json
import re
from collections.abc import Iterable
from importlib import resources
from typing import Final, Literal, get_args

import msgspec

Op = Literal[
    "missing", "correlate", "outliers", "trend", "duplicates", "share", "several", "distinct", "groups", "sums", "top",
    "profile",
]  # fmt: skip
CLEAR: Final = frozenset[Op](("missing", "correlate", "outliers", "trend", "duplicates", "share", "several"))
"""Operations whose words mean nothing else."""
USUAL: Final[tuple[Op, ...]] = ("profile", "groups", "correlate", "outliers", "trend")
"""A report."""
SIGNS: Final = (">=", "<=", ">", "<", "!=", "=")
TEXTS: Final = frozenset(("text", "bool"))
QUOTES: Final = r"[\"'`“‘「『”’」』]?"


class Filter(msgspec.Struct, frozen=True):
    """Rows whose cell in that column compares so with a value, or with any of several."""

    column: str
    sign: str
    values: tuple[str, ...]


class Want(msgspec.Struct, frozen=True):
    """One thing asked of tables: the operation, the columns named with it, in order, and how."""

    op: Op
    columns: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    count: int = 3
    largest: bool = True
    extremes: bool = False
    slopes: bool = False
    said: str = ""
    """The clause, where it has words that may be cells."""
    unknown: tuple[str, ...] = ()
    """Its words that must be cells, because they state a condition."""
    absent: str = ""
    """What it asks about, where no column is called so."""
    asked: bool = True
    """Whether the query's words ask for it, or a report has it anyway."""


@functools.cache
def words() -> dict[str, re.Pattern[str]]:
    """Return the patterns of ``words.json``: of operations, of reports, of clause ends, of comparison signs."""
    text = (resources.files(__package__) / "words.json").read_text(encoding="utf-8")
    return {name: re.compile(pattern, re.IGNORECASE) for name, pattern in json.loads(text).items()}


def clauses(query: str) -> list[str]:
    """Split a query at its clauses; a piece that asks for nothing, or only how to group, joins its neighbour."""
    found: list[str] = []
    for sentence in (one for one in words()["sentence"].split(query) if one and one.strip()):
        pieces: list[str] = []
        for piece in (one.strip() for one in words()["clause"].split(sentence) if one and one.strip()):
            before = operations(pieces[-1]) if pieces else []
            if pieces and (not operations(piece) or before in ([], ["groups"])):
                pieces[-1] += ", " + piece
            else:
                pieces.append(piece)
        if found and not any(map(operations, pieces)):
            found[-1] += " " + sentence
        else:
            found += pieces
    return found


def operations(text: str) -> list[Op]:
    """Return the operations that a text's words ask for."""
    return [op for op in get_args(Op) if words()[op].search(text)]


def general(query: str) -> bool:
    """Whether a query asks for a whole report."""
    return bool(words()["report"].search(query))


def plain(name: str) -> str:
    """A column's name as a person would say it."""
    return re.sub(r"[\s_\-./]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip().lower()


def mark_columns(query: str, columns: Iterable[str]) -> tuple[str, list[str]]:
    """Return the query with the columns it names as ⟦n⟧, and those columns.

    A name counts as written, as spoken (order_date: "order date"), or else where its spelling is nearest.
    """
    named: list[str] = []
    text = query
    ends = re.compile(
        r"\s*(?:$|[^\w\s]|[\u4e00-\u9fff]|(?:and|or|by|vs|versus|with|for|where|in|over|per|across|against|is|has)\b)"
    )
    for column in sorted(dict.fromkeys(columns), key=len, reverse=True):
        for form in dict.fromkeys((column, plain(column), plain(column).replace(" ", ""), *_places(column))):
            edges = (r"(?<![A-Za-z0-9_⟦])", r"(?:'s|s|es)?(?![A-Za-z0-9_⟧])") if form.isascii() else ("", "")
            pattern = re.compile(QUOTES + edges[0] + re.escape(form) + edges[1] + QUOTES, re.IGNORECASE)
            hit = pattern.search(text)
            if form and hit and (form.lower() not in {"a", "i"} or len(hit[0]) > 1 or ends.match(text[hit.end() :])):
                named.append(column)
                text = pattern.sub(f"⟦{len(named) - 1}⟧", text)
                break
    return (text, named) if named else _nearly(query, list(columns))


def _places(column: str) -> list[str]:
    """The other names of a column that only has a number."""
    hit = re.fullmatch(r"column (\d+)", column)
    at = int(hit[1]) if hit else 0
    if not 0 < at < 11:
        return []
    word = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")[at - 1]
    han = "一二三四五六七八九十"[at - 1]
    return [f"第{at}列", f"第 {at} 列", f"第{han}列", f"{word} column", f"col {at}", f"列{at}"]


def _nearly(query: str, columns: list[str]) -> tuple[str, list[str]]:
    """As above, by similar spelling: words of four letters or more."""
    spoken = {plain(column): column for column in columns if len(column) > 3}
    named: list[str] = []

    def swap(hit: re.Match[str]) -> str:
        near = difflib.get_close_matches(plain(hit[0]), spoken, 1, 0.84)
        if not near or any(words()[op].fullmatch(hit[0]) for op in get_args(Op)):
            return hit[0]
        if spoken[near[0]] not in named:
            named.append(spoken[near[0]])
        return f"⟦{named.index(spoken[near[0]])}⟧"

    return re.sub(r"[A-Za-z_]{4,}", swap, query), named


def filters(text: str, named: list[str]) -> tuple[str, list[Filter]]:
    """Return the text without its conditions on named columns, and these conditions."""
    found: list[Filter] = []
    for hit in words()["range"].finditer(text):
        found += [Filter(named[int(hit[1])], sign, (one,)) for sign, one in ((">=", hit[2]), ("<=", hit[3]))]
    text = words()["range"].sub(" ", text)
    value = r"[\"'“「]([^\"'”」]+)[\"'”」]|(-?\d[\d.,:/-]*\d|\d)|([\w-]+)"
    for sign in SIGNS:
        lead = r"(?:where|with|for|if|when|whose|in which|only|当|其中|对于|只看|满足)\s*(?:the )?"
        lead += "" if sign in {"=", "!="} else "|"
        pattern = re.compile(rf"(?:{lead})⟦(\d+)⟧\s*(?:{words()[sign].pattern})\s*(?:{value})", re.IGNORECASE)
        for hit in pattern.finditer(text):
            if hit[0][0] == "⟦" and words()["sum of"].search(hit.string[: hit.start()]):
                continue
            given = next(one for one in hit.groups()[1:] if one is not None)
            if sign in {"=", "!="} or re.match(r"-?\d", given):
                found.append(Filter(named[int(hit[1])], sign, (given,)))
            text = text.replace(hit[0], " ") if found else text
    return text, found


def wants(query: str, columns: dict[str, str]) -> list[Want]:
    """Return what a query asks of a table whose columns have these kinds, by name; empty where nothing is told."""
    text, named = mark_columns(query, columns)
    text, conditions = filters(text, named)
    found: list[Want] = []
    for piece in clauses(text):
        own = [named[int(at)] for at in re.findall(r"⟦(\d+)⟧", piece)]
        own += [one for one in columns if re.sub(r" \(\d+\)$", "", one) in own and one not in own]
        clause, dates = dated(piece, columns)
        ops = operations(clause)
        whole = own or CLEAR.intersection(ops) or len(named) > 3
        used = list(dict.fromkeys(own if whole else named))
        by = [named[int(at)] for at in words()["by"].findall(clause) if len(used) > 1]
        by += [one for one in used if columns[one] in TEXTS]
        unknown, conditional = strangers(clause, " ".join(columns).lower())
        vague = not used and not ops_clear(ops, clause)
        absent = _absent(clause, [one for one in used if columns[one] not in TEXTS])
        if vague and unknown and not general(query):
            absent = absent or ", ".join(unknown)
        meant = (
            list(USUAL)
            if vague
            else _meant(ops or list(USUAL), clause, [columns[one] for one in used], grouped=bool(by))
        )
        if used and set(ops) <= {"distinct"} and (conditions or dates or unknown):
            figures = any(columns[one] in {"int", "float"} for one in used)
            meant = [*USUAL[:1]] if words()["many"].search(clause) else ["sums"] if figures else meant
        how = (tuple(used), tuple(dict.fromkeys(by)), (*conditions, *dates), *_extent(clause))
        meant += ["groups"] if "share" in meant and by and "groups" not in meant else []
        said = words()["blank"].sub("·", re.sub(r"⟦\d+⟧", "◇", clause))[:300] if unknown else ""
        found += [
            Want(op, *how, said, conditional, absent, bool(ops) or meant != list(USUAL))
            for op in (USUAL[:1] if absent else meant)
        ]
    if conditions and not found:
        found.append(Want("profile", filters=tuple(conditions)))
    return list(dict.fromkeys(found))


def strangers(clause: str, names: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a clause's words and numbers that are no columns and ask for nothing, and those that state a condition,
    being no part of a column's name. A verb that any table's rows bear out (sold, earned, ranks) states none.
    """
    text = words()["count"].sub(" ", re.sub(r"⟦\d+⟧", " ", clause))
    unknown: dict[str, bool] = {}
    for hit in re.finditer(r"[A-Za-z][\w'’-]*|\d[\d.,:/-]*\d|\d", text):
        word = hit[0]
        letter = len(word) == 1 and word.isupper() and bool(text[: hit.start()].strip())
        known = (
            word[0].isalpha()
            and not letter
            and (words()["known"].fullmatch(word) or any(words()[op].match(word) for op in get_args(Op)))
        )
        if not known:
            unknown[word] = word[0].isdigit() or _states(text[: hit.start()], word)
    unknown |= {hit[0]: True for hit in words()["beyond"].finditer(clause)}
    han = re.sub("|".join(words()[op].pattern for op in get_args(Op)), " ", text, flags=re.IGNORECASE)
    unknown |= dict.fromkeys(re.findall(r"[\u4e00-\u9fff]{2,}", words()["known han"].sub(" ", han)), True)
    return tuple(unknown), tuple(
        one for one, told in unknown.items() if told and one.lower().removesuffix("s") not in names
    )


def _states(before: str, word: str) -> bool:
    """Whether a word behind these words states a condition; a verb that the rows of any table bear out does not."""
    marker = words()["marker"].search(before)
    verb = words()["past"].fullmatch(word) or (
        marker and marker[0].lower().startswith("which") and words()["present"].fullmatch(word)
    )
    return bool(marker) and not (verb and word.islower())


def where(want: Want, cited: list[list[object]]) -> list[Want]:
    """Return what is wanted of the rows that a clause names by these cells: column, cell, where it begins and ends.

    Totals of several cells of one column are wanted apart, too.
    """
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    years: list[tuple[str, str, tuple[int, int]]] = []
    unknown, absent = want.unknown, want.absent
    for column, cell, start, end in sorted(cited, key=lambda one: int(str(one[2]))):
        name, span = str(cell), (int(str(start)), int(str(end)))
        before, after = want.said[: span[0]], want.said[span[1] :]
        if len(name) > 1 or (name.isupper() and before.strip()) or words()["marker"].search(before):
            out = words()["out"].search(before) or words()["out after"].match(after)
            key = str(column), "!=" if out else "="
            if re.fullmatch(r"(?:19|20)\d\d", name) and not out:
                years.append((str(column), name, span))
            else:
                found[key] = (*found.get(key, ()), name)
            unknown = tuple(one for one in unknown if not _met(one.lower(), name.lower()))
            unknown = tuple(one.replace(name, "") or name for one in unknown)
            absent = ""
    signs = spanned(want.said, [span for *_, span in years])
    if signs and signs != ["="]:
        moments = [Filter(column, sign, (year,)) for sign, (column, year, _) in zip(signs, years, strict=True)]
    else:
        moments = [Filter(years[0][0], "=", tuple(year for _, year, _ in years))] if years else []
    cells = [Filter(column, sign, values) for (column, sign), values in found.items()]
    told = msgspec.structs.replace(want, filters=(*want.filters, *cells, *moments), unknown=unknown, absent=absent)
    apart = tuple(one.column for one in cells if one.sign == "=" and len(one.values) > 1)
    more = [msgspec.structs.replace(told, op="groups", by=apart)] if apart and want.op == "sums" else []
    return [told, *more]


def _met(word: str, cell: str) -> bool:
    return word.removesuffix("'s").removesuffix("s") in cell or cell in {word, word.removesuffix("s")}


def _absent(clause: str, numbers: list[str]) -> str:
    """Return what a total, a mean or the like is asked of, where that is no column."""
    hit = None if numbers else words()["measure"].search(clause)
    return hit[1] if hit and hit[1] in strangers(clause)[0] else ""


def dated(clause: str, columns: dict[str, str]) -> tuple[str, list[Filter]]:
    """Return a clause without its one date, and the condition on the table's one column of dates that it states."""
    places = [name for name, kind in columns.items() if kind == "date"]
    hits = list(words()["date"].finditer(clause)) if len(places) == 1 else []
    signs = spanned(clause, [hit.span() for hit in hits])
    days = [_day(hit) for hit in hits]
    if len(signs) != len(hits) or any(sign != "=" and day[0] == "-" for sign, day in zip(signs, days, strict=True)):
        return clause, []
    for hit in reversed(hits):
        clause = f"{clause[: hit.start()]}◇{clause[hit.end() :]}"
    return clause, [Filter(places[0], sign, (day,)) for sign, day in zip(signs, days, strict=True)]


def _day(hit: re.Match[str]) -> str:
    """Return year-month-day as a date names them; what it does not is empty."""
    told = hit.groupdict()
    year, month, day = (
        "".join(told[f"{part}{way}"] or "" for way in "abcde" if f"{part}{way}" in told) for part in "ymd"
    )
    names = "janfebmaraprmayjunjulaugsepoctnovdec"
    return f"{year}-{names.find(month[:3].lower()) // 3 + 1 if month.isalpha() else month}-{day}"


def spanned(text: str, places: list[tuple[int, int]]) -> list[str]:
    """Return how rows compare with one or two moments at these places of a text; none where that is not clear."""
    if len(places) == 2 and words()["to"].fullmatch(text[places[0][1] : places[1][0]]):
        return [">=", "<="] if words()["from"].search(text[: places[0][0]]) else []
    before = text[: places[0][0]] if len(places) == 1 else ""
    return (
        [next((one for one in (">=", "<=", ">", "<") if words()[f"date {one}"].search(before)), "=")][: len(places)]
        if len(places) < 2
        else []
    )


def ops_clear(ops: list[Op], clause: str) -> bool:
    """Whether a clause that names no column says clearly what it is after."""
    grouped = "groups" in ops and words()["strong"].search(clause)
    return bool(CLEAR.intersection(ops) or "profile" in ops or grouped)


def _meant(ops: list[Op], clause: str, kinds: list[str], *, grouped: bool) -> list[Op]:
    """Return the operations left after the clear ones push out those that only share their words."""
    clear = [op for op in ops if op in CLEAR]
    texts = grouped or bool(TEXTS.intersection(kinds))
    numbers = sum(one in {"int", "float"} for one in kinds)
    if clear and set(ops) != set(USUAL):
        both: list[Op] = ["correlate"] if "trend" in clear and "correlate" not in clear and numbers > 1 else []
        return clear + both + (["groups"] if texts and "groups" in ops else [])
    if texts and numbers and {"sums", "top"} & set(ops) and "groups" not in ops:
        ops = ["groups", *ops]
    if "groups" in ops and (texts or not kinds):
        idle = {"sums", "distinct"} if numbers or not kinds else {"sums"}
        return [op for op in ops if op not in idle and (op != "top" or words()["rows"].search(clause))]
    return ops


def _extent(clause: str) -> tuple[int, bool, bool, bool]:
    hit = words()["count"].search(clause)
    count = int(hit[1] or hit[2]) if hit else 3
    least, extremes, slopes = (bool(words()[one].search(clause)) for one in ("least", "extremes", "slopes"))
    return max(1, min(count, 20)), not least, extremes, slopes
