"""What a query wants: operations by its words, in English and Chinese, and which columns, values and files it names."""

import difflib
import re
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

Op = Literal[
    "profile", "missing", "groups", "sums", "correlate", "outliers", "trend", "top", "distinct", "duplicates", "relate"
]

WORDS: Final[tuple[tuple[Op, str], ...]] = (
    ("missing", r"missing|blanks?\b|empty|nulls?\b|absent|incomplete|\bgaps?\b|unfilled|not filled|n/a\b|\bnans?\b|lacks?\b|lacking"
                r"|缺失|空值|缺少|缺了|为空|空白|空的|遗漏|不完整|漏填|缺值|没有填|缺数据|残缺|空缺"),
    ("correlate", r"correlat|relationship|related\b|associat|together|in tandem|depend|linked|covar|pearson|each other|connection"
                  r"|connected|lockstep|hand in hand|predict|closely|follows?\b|mirror|goes? up when|strongest (?:link|pair|relation)"
                  r"|相关|关联|关系|联系|皮尔|联动|同步|一起变|同涨|密切"),
    ("outliers", r"outlier|anomal|unusual|\bodd\b|oddit|strange|extreme|abnormal|suspicious|stands? out|standing out|weird|spike"
                 r"|out of (?:line|place|range)|does ?n.t (?:fit|belong)|do not (?:fit|belong)|irregular|deviat|implausible|typos?\b"
                 r"|far from|far off|wrong|\boff\b|erroneous|faulty|freak|aberra|exception|异常|离群|极端|反常|可疑|突出|离谱|偏离|怪|不正常|不对劲|不合理|错误值"),
    ("trend", r"trend|over time|increas|decreas|\bris(?:e|es|ing)\b|\brose\b|\bfall(?:s|ing)?\b|\bfell\b|grow|grew|declin|upwards?\b"
              r"|downwards?\b|develop|evol|chang(?:e|es|ed|ing)\b|direction|drift|slope|climb|drop|going (?:up|down)|progress"
              r"|go(?:es)? (?:up|down)|trajectory|with time|through time|in time|shrink|steadily|up or down"
              r"|趋势|随.{0,6}时间|时间.{0,4}推移|变化|上升|下降|增长|增加|减少|走势|走向|递增|递减|上涨|下跌|升高|降低|涨|跌|斜率"),
    ("duplicates", r"duplicat|repeated rows?|重复"),
    ("distinct", r"unique|distinct|different|how many (?!rows|records|entries|lines|observations|columns|fields|missing|values|cells|null|empty|outlier|blank)\w+"
                 r"|不同|唯一|去重|多少种|几种|多少个|几个|多少类|几类"),
    ("groups", r"groups?\b|grouped|categor|breakdown|break (?:it )?down|segment|class\b|classes|dominat|dominant|distribution|\beach\b|\bper\b"
               r"|most (?:common|frequent|often|rows|records|entries|numerous|popular)|(?:which|what) \S+ (?:has|have|had|is|are|does|makes?|leads?|accounts?)"
               r"|\bby\b|leading|leads|ranking|tops?\b|largest|biggest|smallest|most\b|least\b|fewest|highest total|contribut|mode\b"
               r"|组|类别|分类|类|最大的|最多的|最少的|哪个|哪一|哪种|哪些|哪家|各|每|按|占比|分布|最常见|最多|最少|居首|排名|第一"),
    ("sums", r"\bsums?\b|totals?\b|averages?\b|means?\b|median|standard deviation|std\b|variance|minimum|maximum|\bmin\b|\bmax\b|range\b|overall"
             r"|总和|合计|总计|总数|求和|平均|均值|最大值|最小值|中位|之和|总额|总量|加起来|标准差|范围|最高|最低"),
    ("top", r"\btop\b|bottom|highest|lowest|largest|smallest|biggest|greatest|maximum|minimum|rows? with|records? with|最高|最低|前\s*\d+|最大|最小|排行"),
    ("relate", r"\bjoin|\brelat|compar|across (?:the )?(?:files|tables)|match|overlap|in common|shared? (?:keys?|values|codes?)|combin|merge|cross|between (?:the|these) (?:\w+ )?(?:files|tables)"
               r"|files relate|both files|对比|比较|连接|关联|合并|匹配|共同|共有|文件.{0,6}关系|表.{0,6}关系"),
    ("profile", r"how many (?:rows|records|entries|lines|observations|columns|fields|variables)|number of (?:rows|records|entries|lines|columns|fields)"
                r"|rows?\b.{0,12}\bcolumns?|row count|size|shape|data ?types?|types? of|columns are|which columns are|schema|structure|fields\b"
                r"|行数|多少行|几行|多少条|记录数|条数|多少列|几列|列数|字段|列名|类型|结构|哪些列|规模|多大|多少.{0,2}记录"),
)  # fmt: skip
CLEAR: Final = frozenset[Op](("missing", "correlate", "outliers", "trend", "duplicates"))
"""Operations whose words mean nothing else."""
REPORT: Final = re.compile(
    r"analy[sz]|report|summar|overview|describe|explor|insight|profile\b|tell me about|interesting|look (?:at|into|over)|examine|findings"
    r"|key facts|what do(?:es)? (?:this|the|these)|everything|all you can|full picture|investigate|review|inspect|study"
    r"|分析|报告|总结|概述|概括|描述|介绍|看看|洞察|概况|摘要|汇总|全面|研究|检查一下|有什么",
    re.IGNORECASE,
)
MATCH: Final = {op: re.compile(pattern, re.IGNORECASE) for op, pattern in WORDS}
BREAK: Final = re.compile(
    r"(?<=[?!;？！；。\n])|(?<=\.)\s+(?=[A-Z\"'“⟦])|,\s*(?:and|also|then|plus|as well as)\s+|\s+(?:and also|and then|and|then|plus|as well as)\s+"
    r"|，|、|,\s+|以及|并且|并|然后|还有|另外|同时|此外",
)  # fmt: skip
SIGNS: Final = (
    (">=", r"(?:is |are )?(?:at least|no less than|not less than|>=|≥)|不低于|不少于|大于等于|至少"),
    ("<=", r"(?:is |are )?(?:at most|no more than|not more than|<=|≤)|不高于|不超过|小于等于|至多"),
    (">", r"(?:is |are )?(?:greater than|more than|larger than|higher than|over|above|exceeds?|exceeding|>)|大于|超过|高于|多于"),
    ("<", r"(?:is |are )?(?:less than|smaller than|fewer than|lower than|below|under|<)|小于|低于|少于"),
    ("!=", r"(?:is not|isn't|!=|≠|not equal to)|不等于|不是"),
    ("=", r"(?:is equal to|equals|equal to|==?|is|are|of|was)|等于|是|为"),
)


class Filter(msgspec.Struct, frozen=True):
    """Rows whose cell in that column compares so with a value."""

    column: str
    sign: str
    value: str


class Want(msgspec.Struct, frozen=True):
    """One thing asked of tables: the operation, the columns named with it, in order, and how."""

    op: Op
    columns: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    count: int = 5
    largest: bool = True


def clauses(query: str) -> list[str]:
    """Split a query at its clauses; a piece that asks for nothing by itself stays with the one before."""
    pieces: list[str] = []
    for piece in (one.strip() for one in BREAK.split(query) if one and one.strip()):
        if pieces and not operations(piece):
            pieces[-1] += ", " + piece
        elif pieces and not operations(pieces[-1]):
            pieces[-1] += ", " + piece
        else:
            pieces.append(piece)
    return pieces


def operations(text: str) -> list[Op]:
    """Return the operations that a text's words ask for."""
    return [op for op in MATCH if MATCH[op].search(text)]


def general(query: str) -> bool:
    """Whether a query asks for a whole report."""
    return bool(REPORT.search(query))


def plain(name: str) -> str:
    """A column's name as a person would say it."""
    return re.sub(r"[\s_\-./]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip().lower()


def mark_columns(query: str, columns: Iterable[str]) -> tuple[str, list[str]]:
    """Return the query with the columns it names as ⟦n⟧, and those columns.

    A name counts as written, as spoken (order_date: "order date"), or nearly so where no other is nearer.
    """
    named: list[str] = []
    text = query
    for column in sorted(dict.fromkeys(columns), key=len, reverse=True):
        for form in dict.fromkeys((column, plain(column), plain(column).replace(" ", ""))):
            edge = r"(?<![A-Za-z0-9_⟦]){}(?:'s|s|es)?(?![A-Za-z0-9_⟧])" if form.isascii() else r"{}"
            pattern = re.compile(r"[\"'`“‘「『]?" + edge.format(re.escape(form)) + r"[\"'`”’」』]?", re.IGNORECASE)
            alone = len(form) < 2 and not re.search(r"[\"'`“「]" + re.escape(form), query)
            if form and not (alone and form.lower() in {"a", "i"}) and pattern.search(text):
                named.append(column)
                text = pattern.sub(f"⟦{len(named) - 1}⟧", text)
                break
    return (text, named) if named else _nearly(query, list(dict.fromkeys(columns)))


def _nearly(query: str, columns: list[str]) -> tuple[str, list[str]]:
    """As above, by similar spelling: words of four letters or more."""
    spoken = {plain(column): column for column in columns if len(column) > 3}
    named: list[str] = []

    def swap(hit: re.Match[str]) -> str:
        near = difflib.get_close_matches(plain(hit[0]), spoken, 1, 0.84)
        if not near or any(MATCH[op].fullmatch(hit[0]) for op in MATCH):
            return hit[0]
        if spoken[near[0]] not in named:
            named.append(spoken[near[0]])
        return f"⟦{named.index(spoken[near[0]])}⟧"

    return re.sub(r"[A-Za-z_]{4,}", swap, query), named


def filters(text: str, named: list[str]) -> tuple[str, list[Filter]]:
    """Return the text without its conditions on named columns, and these conditions."""
    found: list[Filter] = []
    value = r"[\"'“「]([^\"'”」]+)[\"'”」]|(-?\d[\d.,:/-]*\d|\d)|([\w-]+)"
    for sign, words in SIGNS:
        strict = sign in {"=", "!="}
        lead = r"(?:where|with|for|if|when|whose|in which|only|当|其中|对于|只看|满足)\s*(?:the )?" if strict else r"(?:where|with|for|if|when|whose)?\s*"
        pattern = re.compile(rf"{lead}⟦(\d+)⟧\s*(?:{words})\s*(?:{value})", re.IGNORECASE)
        for hit in pattern.finditer(text):
            given = next(one for one in hit.groups()[1:] if one is not None)
            if strict or re.match(r"-?\d", given):
                found.append(Filter(named[int(hit[1])], sign, given))
        if found:
            text = pattern.sub(" ", text)
    return text, found


def wants(query: str, columns: dict[str, str]) -> list[Want]:
    """Return what a query asks of a table whose columns have these kinds, by name; empty where nothing is told."""
    text, named = mark_columns(query, columns)
    text, conditions = filters(text, named)
    found: list[Want] = []
    for clause in clauses(text):
        own = [named[int(at)] for at in re.findall(r"⟦(\d+)⟧", clause)]
        ops = operations(clause)
        whole = own or CLEAR.intersection(ops) or len(named) > 3
        used = list(dict.fromkeys(own if whole else named))
        by = [named[int(at)] for at in re.findall(r"(?:\bby|\bper|\beach|every|across|within|which|what|哪个|哪种|哪一个|按照?|每个?|各个?|不同)\s*(?:the\s+)?⟦(\d+)⟧", clause, re.IGNORECASE)]
        by += [one for one in used if columns[one] in {"text", "bool"}]
        for op in _meant(ops, used, columns):
            found.append(Want(op, tuple(used), tuple(dict.fromkeys(by)), tuple(conditions), *_extent(clause)))
    if conditions and not found:
        found.append(Want("profile", filters=tuple(conditions)))
    return list(dict.fromkeys(found))


def _meant(ops: list[Op], used: list[str], columns: dict[str, str]) -> list[Op]:
    """Return the operations left after the clear ones push out those that only share their words."""
    clear = [op for op in ops if op in CLEAR]
    texts = any(columns[one] in {"text", "bool"} for one in used)
    if clear:
        group = texts and "groups" in ops and clear[0] not in {"missing", "outliers"}
        return clear + (["groups"] if group else [])
    numbers = any(columns[one] in {"int", "float"} for one in used)
    if used and not texts and not numbers and ops:
        return [op for op in ops if op != "top"] or ops
    return [op for op in ops if op != "distinct" or "groups" not in ops or not numbers]


def _extent(clause: str) -> tuple[int, bool]:
    hit = re.search(r"(?:top|bottom|first|last|前|后|最\S{1,2}的)\s*(\d{1,2})|(\d{1,2})\s*(?:highest|lowest|largest|smallest|biggest)", clause, re.IGNORECASE)
    count = int(hit[1] or hit[2]) if hit else 3
    largest = not re.search(r"lowest|smallest|bottom|minimum|\bmin\b|least|fewest|cheapest|最低|最小|最少|后\s*\d", clause, re.IGNORECASE)
    return max(1, min(count, 20)), largest
