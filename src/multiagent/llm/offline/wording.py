"""What was found, in words: every number and name comes from a tool's answer."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from multiagent.llm.offline.intents import Op, Want
from multiagent.llm.offline.request import Dependency, File, Outcome

KEYS: Final = "OPENAI_API_KEY, ANTHROPIC_API_KEY"
LABEL: Final = (
    "_Answered by the built-in offline model: fixed rules, no language model. Set a vendor's key for a real one._",
    "_由内置的离线模型回答：固定规则，并非语言模型。设置厂商密钥即可使用真正的模型。_",
)
OPS: Final[Mapping[Op, tuple[str, str]]] = {
    "profile": ("the profile", "概况"), "missing": ("missing values", "缺失值"), "groups": ("groups", "分组"),
    "sums": ("totals", "汇总"), "correlate": ("correlations", "相关性"), "outliers": ("outliers", "异常值"),
    "trend": ("trends", "趋势"), "top": ("the ranking", "排名"), "distinct": ("distinct values", "不同值"),
    "duplicates": ("duplicates", "重复行"), "relate": ("relations", "关联"),
}  # fmt: skip
KINDS: Final = {
    "int": "整数", "float": "小数", "date": "日期", "bool": "布尔", "text": "文本", "empty": "空",
}  # fmt: skip
SIGNS: Final = {"=": "=", "!=": "≠", ">=": "≥", "<=": "≤"}


def shown(value: object) -> str:
    """Write a number in full, without grouping or exponent; a text as it is."""
    if isinstance(value, float):
        text = repr(value)
        return f"{value:.12f}".rstrip("0") if "e-" in text else f"{value:.0f}" if "e" in text else text
    return str(value)


def items(value: object) -> list[dict[str, object]]:
    """Return the records in a list that a tool printed."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def rows_of(value: object) -> list[list[object]]:
    """Return the lists in a list that a tool printed."""
    return [one for one in value if isinstance(one, list)] if isinstance(value, list) else []


class Words:
    """The phrases of one language."""

    def __init__(self, chinese: bool) -> None:
        self.chinese = chinese

    def say(self, english: str, chinese: str) -> str:
        """Choose a phrase."""
        return chinese if self.chinese else english

    def op(self, op: Op) -> str:
        """Name an operation."""
        return self.say(*OPS[op])

    def names(self, parts: Iterable[str]) -> str:
        """Join names."""
        return self.say(", ", "、").join(parts)

    def failed(self, what: str, why: str) -> str:
        """Say that something could not be done, and why."""
        if why.startswith("\x00"):
            tool = why[1:]
            return self.say(
                f"- Not answered: {what}. It needs the tool `{tool}`, which this agent was not given.",
                f"- 未能回答：{what}。这需要工具 `{tool}`，而本代理没有该工具。",
            )
        last = next((line.strip() for line in reversed(why.splitlines()) if line.strip()), "")[:300]
        return self.say(f"- Not answered: {what}. The tool reported: {last}", f"- 未能回答：{what}。工具报告：{last}")

    def sum(self, expression: str, value: str) -> str:
        """An expression and what the calculator said."""
        return f"{expression} = **{value}**"

    def inputs(self, inputs: tuple[Dependency, ...]) -> str:
        """What other agents found, where there is nothing to add."""
        return "\n\n".join(f"**{one.title or one.task}**\n{one.result}" for one in inputs)

    def ignorant(self, files: tuple[File, ...]) -> str:
        """Say that there is nothing to compute from."""
        if files:
            names = self.names(one.name for one in files)
            return self.say(f"- Not answered: the content of {names} cannot be read here.", f"- 未能回答：无法读取 {names} 的内容。")
        return self.say(
            "The built-in offline model has no knowledge of the world: it computes from attached files and from arithmetic in"
            f" the query. Attach the files that hold the answer, or set a vendor's key ({KEYS}) to use a real model.",
            f"内置的离线模型没有世界知识：它只根据所附文件和问题中的算式计算。请附上含有答案的文件，或设置厂商密钥（{KEYS}）以使用真正的模型。",
        )

    def shape(self, name: str, outline: str) -> str:
        """A JSON file that is no table."""
        return self.say(f"**{name}** (JSON): `{outline[:3000]}`", f"**{name}**（JSON）：`{outline[:3000]}`")

    def table(self, name: str, rows: int, results: list[tuple[Want, object]], query: str) -> str:
        """All that was found out about a table."""
        lines = [self.say(f"**{name}** ({rows} rows)", f"**{name}**（{rows} 行）")]
        for want, found in results:
            if isinstance(found, dict) and "error" in found:
                lines.append(self.failed(self.op(want.op), str(found["error"])))
                continue
            where = self.names(f"`{one.column}` {SIGNS.get(one.sign, one.sign)} {one.value}" for one in want.filters)
            if where:
                lines.append(self.say(f"- Only rows where {where}:", f"- 仅限满足 {where} 的行："))
            told = getattr(self, f"_{want.op}")(found, want, query)
            lines += told or [self.say(f"- No column allows {self.op(want.op)}.", f"- 没有可用于{self.op(want.op)}的列。")]
        return "\n".join(dict.fromkeys(lines))

    def _profile(self, found: object, want: Want, query: str) -> list[str]:
        if not isinstance(found, dict):
            return []
        columns = items(found.get("columns"))
        lines = [self.say(f"- Rows: {found['rows']}; columns: {found['width']}.", f"- 行数：{found['rows']}；列数：{found['width']}。")]
        lines.append(self.say("- Columns:", "- 各列："))
        for one in columns:
            kind = self.say(str(one["kind"]), KINDS[str(one["kind"])])
            text = self.say(f"  - `{one['name']}`: {kind}, {one['distinct']} distinct", f"  - `{one['name']}`：{kind}，{one['distinct']} 个不同值")
            if "mean" in one:
                low, high, mean = (shown(one[key]) for key in ("min", "max", "mean"))
                text += self.say(f", from {low} to {high}, mean {mean}", f"，最小 {low}，最大 {high}，平均 {mean}")
            elif "first" in one:
                text += self.say(f", from {one['first']} to {one['last']}", f"，从 {one['first']} 到 {one['last']}")
            lines.append(text)
        gaps = [(str(one["name"]), int(str(one["missing"]))) for one in columns]
        return [*lines, self._gap_line(gaps, sum(count for _, count in gaps))]

    def _gap_line(self, gaps: list[tuple[str, int]], total: int) -> str:
        holes = sorted((one for one in gaps if one[1]), key=lambda one: -one[1])
        if not holes:
            return self.say("- Missing values: none, in no column.", "- 缺失值：没有，各列都完整。")
        each = self.names(f"`{name}` {count}" for name, count in holes)
        most = self.say(f"; most in `{holes[0][0]}`", f"；最多的是 `{holes[0][0]}`") if len(holes) > 1 else ""
        return self.say(f"- Missing values: {total} in all: {each}{most}.", f"- 缺失值：共 {total} 个：{each}{most}。")

    def _missing(self, found: object, want: Want, query: str) -> list[str]:
        if not isinstance(found, dict):
            return []
        gaps = [(str(one[0]), int(str(one[1]))) for one in rows_of(found.get("columns"))]
        lines = [self._gap_line(gaps, int(str(found["total"])))]
        for name, count in gaps:
            if name in want.columns:
                lines.append(self.say(f"- `{name}`: {count} missing values.", f"- `{name}`：缺失 {count} 个值。"))
        return lines

    def _duplicates(self, found: object, want: Want, query: str) -> list[str]:
        count = found.get("repeated") if isinstance(found, dict) else 0
        return [self.say(f"- Rows that repeat an earlier row: {count}.", f"- 与前面的行重复的行：{count}。")]

    def _distinct(self, found: object, want: Want, query: str) -> list[str]:
        lines = []
        for one in items(found):
            values = one["values"] if isinstance(one["values"], list) else []
            tail = self.say(": ", "：") + self.names(map(str, values)) if values else ""
            lines.append(self.say(f"- `{one['name']}`: {one['distinct']} distinct values{tail}.", f"- `{one['name']}`：{one['distinct']} 个不同值{tail}。"))
        return lines

    def _sums(self, found: object, want: Want, query: str) -> list[str]:
        lines = []
        for one in items(found):
            total, mean, median, low, high = (shown(one[key]) for key in ("sum", "mean", "median", "min", "max"))
            spread = shown(one["deviation"])
            lines.append(self.say(
                f"- `{one['name']}`: total {total}, mean {mean}, median {median}, min {low}, max {high}, over {one['count']} values.",
                f"- `{one['name']}`：总和 {total}，平均 {mean}，中位数 {median}，最小 {low}，最大 {high}，共 {one['count']} 个值。",
            ))  # fmt: skip
            if re.search(r"deviation|std|variance|标准差|方差", query, re.IGNORECASE):
                lines.append(self.say(f"- `{one['name']}`: sample standard deviation {spread}.", f"- `{one['name']}`：样本标准差 {spread}。"))
        return lines

    def _groups(self, found: object, want: Want, query: str) -> list[str]:
        lines = []
        for one in items(found):
            by = str(one["by"])
            count = self.say(f"{one['groups']} groups of `{by}`, by rows", f"`{by}` 共 {one['groups']} 组，按行数")
            if one.get("several"):
                count = self.say(f"{one['groups']} values in the lists of `{by}`, by mentions", f"`{by}` 的列表中共 {one['groups']} 个值，按出现次数")
            lines.append(f"- {count}{self._ranking(one['sizes'])}")
            for value in items(one.get("values")):
                for way, english, chinese in (("total", "Total", "总和"), ("mean", "Mean", "平均"), ("max", "Maximum", "最大值"), ("min", "Minimum", "最小值")):
                    if way in {"max", "min"} and not re.search(r"max|min|highest|lowest|peak|最高|最低|最大值|最小值", query, re.IGNORECASE):
                        continue
                    title = self.say(f"{english} of `{value['of']}` by `{by}`", f"按 `{by}` 的 `{value['of']}` {chinese}")
                    lines.append(f"- {title}{self._ranking(value[way])}")
        return lines

    def _ranking(self, value: object) -> str:
        order = [(str(one[0]), shown(one[1])) for one in rows_of(value)]
        if not order:
            return self.say(": none.", "：无。")
        first, last = order[0], order[-1]
        ties = [name for name, number in order if number == first[1]]
        best = self.names(f"**{name}**" for name in ties[:6])
        text = self.say(f": largest is {best} with {first[1]}", f"：最大的是 {best}，为 {first[1]}")
        middle = self.names(f"{name} {number}" for name, number in order[len(ties) : -1])
        if middle:
            text += self.say(f", then {middle}", f"，其次 {middle}")
        if last[1] != first[1]:
            text += self.say(f"; smallest is {last[0]} with {last[1]}", f"；最小的是 {last[0]}，为 {last[1]}")
        return text + self.say(".", "。")

    def _correlate(self, found: object, want: Want, query: str) -> list[str]:
        pairs = rows_of(found.get("pairs")) if isinstance(found, dict) else []
        lines = []
        for at, (r, one, other) in enumerate(pairs):
            asked = {one, other} <= set(want.columns)
            if at > 2 and not asked:
                continue
            value = float(str(r))
            sign = self.say("positive", "正相关") if value > 0 else self.say("negative", "负相关")
            if at == 0:
                title = self.say("Strongest correlation", "相关性最强")
            else:
                title = self.say("Correlation", "相关性")
            lines.append(self.say(
                f"- {title}: `{one}` and `{other}`, Pearson r = {shown(r)} ({sign}).",
                f"- {title}：`{one}` 与 `{other}`，皮尔逊相关系数 r = {shown(r)}（{sign}）。",
            ))  # fmt: skip
        ranks = found.get("by_rank") if isinstance(found, dict) else []
        if isinstance(ranks, list) and ranks and ranks != pairs[0]:
            one, other = ranks[1:]
            lines.append(self.say(
                f"- By ranks, which single extreme values cannot sway, `{one}` and `{other}` are the closest (Pearson r = {shown(ranks[0])}).",
                f"- 按秩次（不受个别极端值影响），`{one}` 与 `{other}` 关系最密切（皮尔逊 r = {shown(ranks[0])}）。",
            ))  # fmt: skip
        return lines

    def _outliers(self, found: object, want: Want, query: str) -> list[str]:
        lines, clean = [], []
        for one in items(found):
            rows = rows_of(one["rows"])
            name = str(one["name"])
            if not rows:
                clean.append(f"`{name}`")
                continue
            each = self.names(self.say(f"row {row}: {shown(value)}", f"第 {row} 行：{shown(value)}") for row, value in rows)
            middle = shown(one["median"])
            lines.append(self.say(f"- Outliers in `{name}`: {each} (median {middle}).", f"- `{name}` 的异常值：{each}（中位数 {middle}）。"))
        if clean:
            lines.append(self.say(f"- No outliers in {self.names(clean)}.", f"- {self.names(clean)} 没有异常值。"))
        return lines

    def _trend(self, found: object, want: Want, query: str) -> list[str]:
        lines = []
        for one in sorted(items(found), key=lambda one: -float(str(one["strength"]))):
            along = self.say(f"over `{one['along']}`", f"随 `{one['along']}`") if one["along"] else self.say("from row to row", "按行的顺序")
            english, chinese = {"up": ("rises", "上升"), "down": ("falls", "下降"), "flat": ("shows no clear trend", "没有明显趋势")}[str(one["direction"])]
            text = self.say(f"- Trend: `{one['name']}` {english} {along}", f"- 趋势：`{one['name']}` {along}{chinese}")
            if one["direction"] != "flat":
                up = one["direction"] == "up"
                text += self.say(" (increasing)" if up else " (decreasing)", "（递增）" if up else "（递减）")
                if one["even"] or re.search(r"slope|rate|how (?:fast|much)|斜率|速度|多快", query, re.IGNORECASE):
                    unit = self.say("a day", "每天") if one["unit"] == "day" else self.say("a step", "每步")
                    text += self.say(f", slope {shown(one['slope'])} {unit}", f"，斜率{unit} {shown(one['slope'])}")
            lines.append(text + self.say(".", "。"))
        return lines

    def _top(self, found: object, want: Want, query: str) -> list[str]:
        lines = []
        for one in items(found):
            title = self.say("Highest" if want.largest else "Lowest", "最高" if want.largest else "最低")
            each = self.names(
                self.say(f"row {row}", f"第 {row} 行") + (f" ({label})" if label else "") + self.say(f": {shown(value)}", f"：{shown(value)}")
                for row, label, value in rows_of(one["rows"])
            )
            lines.append(self.say(f"- {title} `{one['name']}`: {each}.", f"- `{one['name']}` {title}：{each}。"))
        return lines

    def links(self, found: Mapping[str, object]) -> str:
        """How tables relate."""
        lines = []
        for one in items(found.get("links")):
            sides = rows_of(one["sides"])
            both = self.say(" and ", "与").join(self.say(f"`{side[1]}` of {side[0]} ({side[2]} values)", f" {side[0]} 的 `{side[1]}`（{side[2]} 个值）") for side in sides)
            text = self.say(f"- {both} share {one['shared']} values", f"-{both}共有 {one['shared']} 个值")
            for side in sides:
                if not side[3]:
                    text += self.say(f"; every value of {side[0]} is in the other", f"；{side[0]} 的值都在另一表中")
                else:
                    few = self.names(map(str, side[4])) if isinstance(side[4], list) else ""
                    text += self.say(f"; {side[3]} only in {side[0]}, such as {few}", f"；仅在 {side[0]} 中的有 {side[3]} 个，如 {few}")
            lines.append(text + self.say(".", "。"))
        for one in items(found.get("named")):
            order = self.names(f"{code} ({name}) {count}" if name else f"{code} {count}" for code, name, count in rows_of(one["top"]))
            lines.append(self.say(
                f"- Most frequent `{one['column']}` in {one['file']}, named by `{one['label']}` of {one['lookup']}: {order}.",
                f"- {one['file']} 中最常见的 `{one['column']}`（名称取自 {one['lookup']} 的 `{one['label']}`）：{order}。",
            ))  # fmt: skip
        for one in items(found.get("joined")):
            lines.append(self.say(f"- {one['file']} joined with {one['lookup']} on `{one['key']}`:", f"- {one['file']} 与 {one['lookup']} 按 `{one['key']}` 连接："))
            lines += ["  " + line for line in self._groups(one["groups"], Want("groups"), "")]
        return "\n".join(lines) or self.say("- The tables share no column of values.", "- 这些表没有取值相同的列。")

    def text(self, name: str, found: Mapping[str, object]) -> str:
        """What a text holds."""
        size = self.say(f"{found['lines']} lines, {found['paragraphs']} paragraphs, {found['words']} words", f"{found['lines']} 行，{found['paragraphs']} 段，{found['words']} 个英文词")
        size += self.say(f", {found['han']} Chinese characters", f"，{found['han']} 个汉字") if found["han"] else ""
        lines = [f"**{name}**", self.say(f"- Size: {size}, {found['characters']} characters.", f"- 规模：{size}，{found['characters']} 个字符。")]
        heads = found["headings"] if isinstance(found["headings"], list) else []
        if heads:
            lines.append(self.say("- Headings: ", "- 标题：") + self.names(map(str, heads)))
        frequent = self.names(f"{word} ({count})" for word, count in rows_of(found["keywords"]))
        if frequent:
            lines.append(self.say("- Frequent words: ", "- 高频词：") + frequent)
        for word, count in rows_of(found["quoted"]):
            lines.append(self.say(f"- “{word}” occurs {count} times.", f"- “{word}” 出现 {count} 次。"))
        said = found["sentences"] if isinstance(found["sentences"], list) else []
        if said:
            lines.append(self.say("- Key sentences:", "- 关键句："))
            lines += [f"  > {one}" for one in said]
        return "\n".join(lines)

    def synthesis(self, results: tuple[Outcome, ...], missing: tuple[str, ...]) -> str:
        """One answer of all results, with what is missing and the sources."""
        done = [one for one in results if one.status == "completed" and one.result.strip()]
        lost = [f"{one.title or one.task} ({one.status})" for one in results if one not in done]
        parts = [f"### {one.title}\n{one.result.strip()}" if len(done) > 1 else one.result.strip() for one in done]
        if lost or missing:
            names = self.names(dict.fromkeys([*lost, *missing]))
            parts.append(self.say(f"**Missing from this answer:** {names}.", f"**本回答缺少：** {names}。"))
        sources = list(dict.fromkeys(name for one in results for name in one.sources))
        if sources:
            parts.append(self.say("Sources: ", "来源：") + self.names(sources))
        return "\n\n".join([*parts, LABEL[self.chinese]])
