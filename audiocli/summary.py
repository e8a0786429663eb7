"""What a model wrote about a recording, read into a Summary.

In goes the text of one answer, out comes a Summary of Points. The form asked for is one point a line, because small
models write broken JSON:

    OVERVIEW: …
    KEY POINT [m:ss]: … "words that were said"
    DECISION [m:ss]: …
    ACTION [m:ss]: what | who | when
    QUESTION [m:ss]: …

What models make of it is read as well: lists, bold, headings with bullets under them, tables, JSON. Nothing is dropped:
what has no form is kept with a doubt. Knows no model, and no transcript (that is `audiocli.grounding`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from audiocli.grounding import TIME_DOUBT, WORD, doubts
from audiocli.records import Point, Summary

Kind: TypeAlias = Literal["overview", "key_points", "decisions", "action_items", "open_questions"]

FORMLESS = "the model wrote this outside of the form that was asked for"
UNFILLED = "the model named nothing"
SILENT = "the model wrote nothing"
SAME = 0.8
"""Two points share so much of their words (Dice) before they are one, said twice."""
NEAR_S = 30.0
"""And stand no further apart than chunks overlap."""

_LABELS: dict[Kind, str] = {
    "overview": r"overviews?|(?:(?:executive|brief|short|overall) )?summary|abstract|tl;?dr|überblick|zusammenfassung"
    r"|aperçu|résumé|resumen|riassunto|resumo|概述|概要|总结|摘要",
    "key_points": r"(?:(?:key|main|important|discussion)[ -])?(?:points?|topics?)|key[ -](?:takeaways?|facts?|ideas?)"
    r"|main ideas?|highlights?|kernpunkte?|(?:wichtiger? )?punkte?|points? clés?|puntos? claves?|punt[oi] chiave"
    r"|pontos?[ -]chave|要点|关键点",
    "decisions": r"(?:key )?decisions?(?: (?:made|taken))?|entscheidung(?:en)?|beschl(?:uss|üsse)|décisions?"
    r"|decisión|decisiones|decision[ei]|decisão|decisões|决定|决议",
    "action_items": r"actions?(?:[ -](?:items?|points?))?|to[- ]?dos?|next steps?|tasks?|follow-?ups?|aufgaben?"
    r"|nächste schritte|tâches?|acción|acciones|tareas?|azion[ei]|ação|ações|行动|行动项|待办(?:事项)?",
    "open_questions": r"(?:(?:open|unresolved|unanswered|remaining) )?questions?"
    r"|(?:open|unresolved) (?:issues?|points?)|offene (?:fragen?|punkte)|(?:offene )?fragen?"
    r"|questions? (?:ouvertes?|en suspens)|preguntas?(?: abiertas?)?|domand[ae](?: apert[ae])?|perguntas?"
    r"|问题|未决问题",
}
_CLOCK = r"(?:\d{1,3}:)?\d{1,3}:\d{2}(?:[.,]\d+)?|(?:\d+\s?m(?:in)?\s?)?\d+(?:\.\d+)?\s?s(?:ec)?"
_TEMPLATE = r"(?:h:)?m{1,2}:ss"
_RANGE = rf"\s*(?:at\s+|~\s*)?(?:{_CLOCK}|{_TEMPLATE})(?:\s*(?:-|–|—|to|bis|,)\s*(?:{_CLOCK}|{_TEMPLATE}))*\s*"
_STAMP = rf"(?:\[{_RANGE}\]|\({_RANGE}\))"
_BARE_STAMP = r"\d{1,3}(?::\d{2}){1,2}"
_LABELLED = re.compile(
    rf"(?:(?P<before>{_STAMP})\s*[-–—:]?\s*)?"
    rf"(?:{'|'.join(f'(?P<{kind}>{label})' for kind, label in _LABELS.items())})(?:\s*#?\d{{1,3}}(?!\d|:\d))?"
    rf"(?:\s*(?P<stamp>{_STAMP})(?:\s*[:：]|\s*[-–—]\s|\s|$)|\s+(?:at\s+)?(?P<bare>{_BARE_STAMP})\s*[:：]"
    r"|\s*(?P<aside>[(\[][^()\[\]]{1,30}[)\]])?\s*(?:[:：]|\s[-–—]\s|$))\s*(?P<text>.*)",
    re.IGNORECASE,
)
"""A time may stand before the label or behind it; what else stands in brackets there belongs to the text."""
_INLINE = re.compile(
    r"(?:(?<=[^\W\d_])|(?<=[^\W\d_][.!?\"”)])|(?<=\|\s-))\s+"
    rf"(?=(?:OVERVIEW|KEY POINT|DECISION|ACTION|QUESTION)(?:\s*{_STAMP})?\s*:)"
)
"""Where a model goes on with the next label in the same line."""
_OPENING = re.compile(r"\{|\[(?=\s*\{)")
_QUOTED_BELOW = re.compile(rf"(?:quote|evidence|zitat)\s*(?P<stamp>{_STAMP})?\s*:\s*(?P<text>.+)", re.IGNORECASE)
_BULLET = re.compile(r"(?:(?:[-*•‣◦▪·–—+]|\d{1,2}[.)])\s+|\[[ xX]?\]\s+)+")
_HEADING = re.compile(r"#{1,6}\s+|>\s+")
_EMPHASIS = re.compile(r"(?<!\w)\*{1,3}(?=\S)|(?<=\S)\*{1,3}(?!\w)|__")
_RULE = re.compile(r"[\s|:=_*-]*|```\w*")
_LEADING = re.compile(rf"(?P<stamp>{_STAMP}|\d{{1,3}}:\d{{2}}(?=\s*[-–—:]\s))\s*[-–—:]?\s*(?P<text>.*)", re.DOTALL)
_TITLED = re.compile(rf"(?P<title>[^\[\]():]{{1,60}}?)\s*(?P<stamp>{_STAMP})\s*:\s*(?P<text>.+)", re.DOTALL)
_TRAILING = re.compile(rf"(?P<text>.*\S)\s*(?P<stamp>\[{_RANGE}\])\s*\.?", re.DOTALL)
_QUOTE = re.compile(
    r"(?P<text>.*?)(?:\s*[-–—|(]?\s*(?:quote|zitat)?\s*:?\s*)"
    r"(?:\"(?P<a>[^\"]+)\"|“(?P<b>[^”]+)”|„(?P<c>[^“”]+)[“”]|«(?P<d>[^»]+)»)\s*[.)]?",
    re.DOTALL | re.IGNORECASE,
)
_LEADS_IN = re.compile(
    r"(?:\b(?:says?|said|called|named|titled|as|is|the|a|an|that|of|with|to|and|or)|,)$", re.IGNORECASE
)
"""Before a quotation that is part of the sentence, not evidence behind it."""
_HAPPENED = (
    r"(?:explicitly\s|specifically\s|clearly\s|formally\s)?(?:made|taken|mentioned|stated|noted|identified|given"
    r"|recorded|discussed|found|specified|raised|assigned|reached|provided|asked|present|required|needed|decided"
    r"|agreed(?: (?:up)?on)?|applicable|known|said|clear|named|available|left (?:open|unanswered|unresolved))"
)
_PLACE = r"(?:[,;:.(–-]|\s(?:in|during|from|at|within|by|here|yet|so far)\b).*"
_BLANK = re.compile(
    r"[(\[]?(?:none|no|no one|nobody|nothing|tbd|unknown|unassigned|unclear|unspecified|what|who|when|-+|–|—|\?+|…"
    rf"|\.\.\.|n/?a(?:\s[-–—(].*)?|not {_HAPPENED}(?:{_PLACE})?|(?:none|nothing) {_HAPPENED}(?:{_PLACE})?"
    r"|no (?:deadline|date|owner)(?:\s(?:was\s|is\s)?(?:given|set|mentioned|named|specified|stated))?"
    r"|keine?[rsn]?|unbekannt|niemand|aucune?|ningun[ao]s?|ninguém|nessun[ao]?|nenhuma?|暂?无|没有|なし"
    r"|one sentence that (?:says|names) (?:what|who|the) .*|one thing that was said"
    r"|what (?:was|is) (?:decided|left open|to be done|reported or argued)(?: or (?:agreed|put off))?"
    r"(?:, and by .*|\s\|.*)?"
    r")?[.!。]?[)\]]?[.!]?",
    re.IGNORECASE | re.DOTALL,
)
"""How models leave a part of a point out, or hand back the form unfilled."""
_BE = r"(?:was|were|are|is|has been|have been)\s"
_THING = (
    r"(?:(?:key|main|further|other|new|open|unresolved|outstanding|explicit|specific|clear|formal|final|direct"
    r"|concrete|major)\s){0,3}(?:decisions?|actions?(?:[ -](?:items?|points?))?|tasks?|to-?dos?|next steps|follow-?ups?"
    r"|questions?|issues|points)"
)
_THINGS = rf"{_THING}(?:(?:,?\s(?:or|and|nor)\s|,\s){_THING}){{0,3}}"
_PART = r"(?:speakers?|recording|part|passage|segment|section|audio|transcript|participants|clip|notes?)"
_NOTHING = re.compile(
    rf"[(\[]?(?:(?:there\s{_BE})?no {_THINGS}(?:\s(?:{_BE})?{_HAPPENED})?(?:{_PLACE})?"
    rf"|(?:none|nothing)\s(?:{_BE})?{_HAPPENED}(?:{_PLACE})?"
    rf"|(?:the|this) {_PART} (?:does|do|did)(?: not|n['’]t) (?:make|mention|contain|state|include|specify|raise|have"
    rf"|leave)\s(?:any\s)?{_THINGS}(?:\sopen)?(?:{_PLACE})?"
    r"|(?:es (?:wurden?|gibt|gab|werden)\s)?keine?[rsn]?\s(?:\w+\s)?(?:entscheidung(?:en)?|beschl(?:uss|üsse)"
    r"|aufgaben?|fragen?|punkte?|maßnahmen?)(?:\s(?:wurden?\s)?(?:genannt|getroffen|erwähnt|gestellt|gefasst|vereinbart"
    r"|besprochen))?(?:\s(?:in|im)\s.*)?|(?:aucune?|ningun[ao]|nessun[ao]|nenhuma?)\s(?:d[eé]cisi[oó]n[ei]?|acci[oó]n"
    r"|action|tâche|question|pregunta|azione|domanda)s?(?:\s\w+)?)[.!]?[)\]]?",
    re.IGNORECASE | re.DOTALL,
)
"""How they say that nothing was decided, taken on or left open: never a sentence that tells something of its own, such
as "No decision will be taken before May"."""
_BEGINS = re.compile(rf"{_STAMP}|{_BARE_STAMP}(?=\s*[-–—:]\s)")
"""A line that begins with a time is no more of the line above."""
_TITLE = re.compile(r"(?:\S+ ){0,4}\S*[^\s.!?]")
_REMARK = re.compile(r"(?:(?:please )?note|anmerkung|hinweis)\s*:\s*(?P<noted>.*)|\((?P<aside>[^()]*)\)", re.IGNORECASE)
"""A line in which the model speaks of its notes."""
_MAY_LACK = ("decisions", "action_items", "open_questions")
_FIELDS: dict[str, str] = {
    **dict.fromkeys(("text", "what", "point", "description", "summary", "title", "name", "content", "topic"), "text"),
    **dict.fromkeys(("decision", "question", "action", "action item", "task", "item", "was", "aufgabe"), "text"),
    **dict.fromkeys(("time", "timestamp", "start", "start s", "at", "zeit"), "stamp"),
    **dict.fromkeys(("who", "who does it", "owner", "assignee", "assigned to", "responsible", "person", "wer"), "who"),
    **dict.fromkeys(("when", "due", "due date", "deadline", "by when", "date", "wann", "bis wann"), "when"),
    **dict.fromkeys(("quote", "evidence", "words", "zitat"), "quote"),
    **dict.fromkeys(("type", "kind", "label", "category"), "kind"),
}
"""What models call the parts of a point, in JSON, in the heads of tables and in front of them."""
_NAMED = re.compile(
    rf"(?:^|[|,;.(\[])\s*({'|'.join(name for name, field in _FIELDS.items() if field in ('who', 'when'))})"
    r"\s*[:=]\s*((?:[^|,;()\[\].]|\.(?!\s|$))+)(?:[)\]]|\.$)?",
    re.IGNORECASE,
)
_TELLING = re.compile(r"\d+|not?|never|cannot|without|nicht|nie|kein\w*|ohne|t", re.IGNORECASE)
"""Words that make two sentences differ however alike they are; "t" is what is left of "don't"."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """One point as it was written."""

    kind: Kind
    text: str
    stamp: str = ""
    who: str | None = None
    when: str | None = None
    quote: str | None = None
    formless: bool = False


def parse(text: str, start_s: float, end_s: float, *, method: str) -> Summary:
    """Read a model's lines into a Summary, forgivingly.

    start_s, end_s: the stretch that was asked about, in seconds of the source; a time outside of it becomes None with
    a doubt. What was said twice, because stretches overlap, becomes one point. Text in which nothing can be read is
    kept whole as the overview, and the summary is marked unreliable; so is an empty one.
    """
    drafts = _from_lines(text)
    if all(draft.formless for draft in drafts):
        drafts = list(_from_json(text)) or drafts
    points: dict[Kind, list[Point]] = {kind: [] for kind in _LABELS}
    for draft in sorted(drafts, key=lambda draft: draft.formless):
        point = _point(draft, start_s, end_s)
        if point:
            points[draft.kind].append(point)
    formless = all(draft.formless for draft in drafts)
    if formless or not any(points.values()):
        whole = (Point(text.strip()),) if text.strip() else ()
        return Summary(method, whole, unreliable=(FORMLESS if formless else UNFILLED) if whole else SILENT)
    merged = {kind: merge(found) for kind, found in points.items()}
    return Summary(
        method,
        overview=merged["overview"],
        key_points=merged["key_points"],
        decisions=merged["decisions"],
        action_items=merged["action_items"],
        open_questions=merged["open_questions"],
    )


def merge(points: Iterable[Point]) -> tuple[Point, ...]:
    """Points of one kind, each once: those with nearly the same words at nearly the same time become the first of them.

    Points that differ in a number, in a negation, or in who or when, stay apart. What one of them lacks it takes from
    the other. Order is kept.
    """
    kept: list[Point] = []
    for point in points:
        twin = next((index for index, other in enumerate(kept) if _same(other, point)), None)
        if twin is None:
            kept.append(point)
        else:
            kept[twin] = _joined(kept[twin], point)
    return tuple(kept)


def _from_lines(text: str) -> list[_Draft]:
    """The points of a text that is written line by line."""
    page = _Page()
    for line in _INLINE.sub("\n", text).splitlines():
        bare, mark = _bare(line)
        if _RULE.fullmatch(bare):
            page.broken = True
        elif label := _LABELLED.fullmatch(bare):
            told = " ".join(filter(None, (label["aside"], label["text"])))
            page.labelled(_kind_of(label), told, label["before"] or label["stamp"] or label["bare"] or "")
        elif page.drafts and (quote := _QUOTED_BELOW.fullmatch(bare)):
            page.quoted(quote["text"], quote["stamp"] or "")
        elif mark == "heading" or (not mark and bare.endswith(":")):
            page.headed(None)
        elif bare.startswith("|"):
            page.row([cell.strip() for cell in bare.strip("|").split("|")])
        else:
            page.line(bare, indent=_indent(line) if mark else None)
    return page.drafts


class _Page:
    """What was read of a text so far, and what the lines above mean for the next one."""

    def __init__(self) -> None:
        self.drafts: list[_Draft] = []
        self.kind: Kind | None = None
        """What points under the last heading or label are."""
        self.under_heading = False
        self.columns: list[str] = []
        self.broken = True
        """Whether the next line begins something new: after a heading, a blank line, a rule."""
        self.bullet: int | None = None
        """How far in the bullet right above is; None where that is something else."""
        self.titles: list[tuple[int, str]] = []
        """Bullets above that only name what the bullets further in are about, and how far in they are."""

    def headed(self, kind: Kind | None) -> None:
        self.kind, self.under_heading, self.columns, self.broken = kind, True, [], True
        self.bullet, self.titles = None, []

    def labelled(self, kind: Kind, text: str, stamp: str) -> None:
        self.headed(kind)
        if text:
            self.drafts.append(_Draft(kind, text, stamp))
            self.under_heading = self.broken = False

    def quoted(self, text: str, stamp: str) -> None:
        last = self.drafts[-1]
        self.drafts[-1] = replace(last, quote=text.strip(' "“”„«»'), stamp=last.stamp or stamp)

    def row(self, cells: list[str]) -> None:
        names = [_FIELDS.get(cell.casefold()) for cell in cells]
        if all(names):
            self.columns = [name for name in names if name]
        elif self.columns:
            fields = dict(zip(self.columns, cells, strict=False))
            label = _LABELLED.fullmatch(fields.get("kind", ""))
            self.drafts.append(_draft(_kind_of(label) if label else self.kind or "key_points", fields))
        else:
            self.line(" | ".join(cells), indent=0)

    def line(self, text: str, *, indent: int | None) -> None:
        """A line without a label: a point under the heading above, or more of the last point, or out of form.

        indent: how far in a bullet is; None without one.
        """
        bulleted = indent is not None
        remark = None if bulleted else _REMARK.fullmatch(text)
        begins = bulleted or remark or self.broken or not self.drafts or _BEGINS.match(text)
        if not begins and not _NOTHING.fullmatch(text):
            self.drafts[-1] = replace(self.drafts[-1], text=f"{self.drafts[-1].text} {text}")
        elif begins and not (remark and _NOTHING.fullmatch(remark["noted"] or remark["aside"] or "")):
            if indent is not None:
                text = self._titled(text, indent)
            formless = remark is not None or self.kind is None or not (bulleted or self.under_heading)
            kind = self.kind if self.kind and not formless else "key_points" if bulleted else "overview"
            self.drafts.append(_Draft(kind, text, formless=formless))
        self.bullet, self.broken = indent, remark is not None

    def _titled(self, text: str, indent: int) -> str:
        """A bullet with the short ones before it that it stands further in than: they name what it is about."""
        last = self.drafts[-1].text if self.drafts else ""
        if self.bullet is not None and indent > self.bullet and _TITLE.fullmatch(last):
            self.titles.append((self.bullet, self.drafts.pop().text.rstrip(" :")))
        self.titles = [(far, title) for far, title in self.titles if far < indent]
        return f"{self.titles[-1][1]}: {text}" if self.titles else text


def _indent(line: str) -> int:
    """Columns before a line."""
    return len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())


def _bare(line: str) -> tuple[str, str]:
    """A line without its Markdown, and what it was marked as: "heading", "bullet" or nothing."""
    text = _collapsed(line)
    heading = _HEADING.match(text)
    if heading:
        text = text[heading.end() :]
    bold = re.fullmatch(r"\*\*[^*]+\*\*:?", text)
    bullet = _BULLET.match(text)
    text = _EMPHASIS.sub("", text[bullet.end() :] if bullet else text).strip()
    return text, "bullet" if bullet else "heading" if bold or (heading and heading.group()[0] == "#") else ""


def _collapsed(text: str) -> str:
    """With single blanks: models that loop on blanks write thousands, and patterns would try each of them."""
    return " ".join(text.split())


def _kind_of(label: re.Match[str]) -> Kind:
    return next(kind for kind in _LABELS if label[kind])


def _from_json(text: str) -> Iterator[_Draft]:
    """The points of every JSON object or list of objects in a text, if a model wrote that after all."""
    decoder, at = json.JSONDecoder(), 0
    while opening := _OPENING.search(text, at):
        try:
            value, at = decoder.raw_decode(text, opening.start())
        except RecursionError:  # what is inside is nested no less
            return
        except ValueError:
            at = opening.end()
        else:
            yield from _from_value(value, None)


def _from_value(value: object, kind: Kind | None) -> Iterator[_Draft]:
    if isinstance(value, str | int | float) and kind:
        yield _Draft(kind, _collapsed(str(value)))
    elif isinstance(value, list):
        for item in value:
            yield from _from_value(item, kind)
    elif isinstance(value, dict):
        yield from _from_object({str(key).replace("_", " ").strip(): item for key, item in value.items()}, kind)


def _from_object(value: Mapping[str, object], kind: Kind | None) -> Iterator[_Draft]:
    """One object is a point if it has the parts of one, else a page whose keys are headings."""
    named = {key: _LABELLED.fullmatch(key) for key in value}
    fields = {_FIELDS[key.casefold()]: str(item) for key, item in value.items() if _is_field(key, item)}
    label = _LABELLED.fullmatch(fields.get("kind", "").replace("_", " "))
    if (kind or label) and "text" in fields:
        yield _draft(_kind_of(label) if label else kind or "overview", fields)
        return
    for key, item in value.items():
        match = named[key]
        yield from _from_value(item, _kind_of(match) if match else kind)


def _is_field(key: str, value: object) -> bool:
    return key.casefold() in _FIELDS and isinstance(value, str | int | float)


def _draft(kind: Kind, fields: Mapping[str, str]) -> _Draft:
    return _Draft(
        kind,
        _collapsed(fields.get("text", "")),
        fields.get("stamp", ""),
        fields.get("who"),
        fields.get("when"),
        fields.get("quote"),
    )


def _point(draft: _Draft, start_s: float, end_s: float) -> Point | None:
    """A draft with its parts told apart; None where it says that there is nothing to say."""
    draft = _timed(draft)
    if draft.quote is None:
        draft = _evidenced(draft)
    if draft.kind == "action_items":
        draft = _assigned(draft)
    text = draft.text.strip(" |") or (draft.quote or "")
    if _BLANK.fullmatch(text) or (draft.kind in _MAY_LACK and _NOTHING.fullmatch(text)):
        return None
    begin_s, stop_s, doubt = _within(draft.stamp, start_s, end_s)
    doubt = doubts(doubt, FORMLESS if draft.formless else None)
    return Point(text, begin_s, stop_s, _given(draft.who), _given(draft.when), _given(draft.quote), doubt=doubt)


def _timed(draft: _Draft) -> _Draft:
    """The time taken from the front or the back of the text, where it is not beside the label."""
    for pattern in (_LEADING, _TRAILING):
        match = None if draft.stamp else pattern.fullmatch(draft.text.strip())
        if match:
            draft = replace(draft, text=match["text"], stamp=match["stamp"])
    titled = None if draft.stamp else _TITLED.fullmatch(draft.text.strip())
    return replace(draft, text=f"{titled['title']}: {titled['text']}", stamp=titled["stamp"]) if titled else draft


def _evidenced(draft: _Draft) -> _Draft:
    """The quote behind a point taken off it; a quotation that is part of the sentence stays in it too."""
    match = _QUOTE.fullmatch(draft.text.strip())
    quote = next((found for found in match.group("a", "b", "c", "d") if found), "") if match else ""
    if not match or len(WORD.findall(quote)) < 2:
        return draft
    before = match["text"].strip()
    return replace(draft, text=draft.text if _LEADS_IN.search(before) else before, quote=quote.strip())


def _assigned(draft: _Draft) -> _Draft:
    """What, who and when of an action item told apart: by bars, or by names in front of them."""
    text, fields = draft.text, {"who": draft.who, "when": draft.when}
    for name, value in _NAMED.findall(text):
        fields[_FIELDS[name.casefold()]] = value
    what, *others = [part.strip() for part in _NAMED.sub("", text).split("|")] or [""]
    for field, value in zip(("who", "when"), others, strict=False):
        fields[field] = fields[field] or value
    return replace(draft, text=what, who=fields["who"], when=fields["when"])


def _given(text: str | None) -> str | None:
    """None where a part was left out, in the words models have for that."""
    bare = (text or "").strip(' .[]()"')
    return None if _BLANK.fullmatch(bare) else bare


def _within(stamp: str, start_s: float, end_s: float) -> tuple[float | None, float | None, str | None]:
    """Start and end as they were written, where they lie in the stretch, and a doubt where they do not.

    A clock shows whole seconds, so that times may be up to one second early; they are moved into the stretch.
    """
    found = [_seconds(text) for text in re.findall(_CLOCK, stamp)] or [
        float(number) for number in re.findall(r"^\s*\d+(?:\.\d+)?\s*$", stamp)
    ]
    inside = [min(max(time, start_s), end_s) for time in found if start_s - 1 < time < end_s + 1]
    if found and (len(inside) < len(found) or inside != sorted(inside)):
        doubt = f"{TIME_DOUBT} {stamp.strip('[]() ')} cannot be: not within {_clock(start_s)}-{_clock(end_s)}"
        return None, None, doubt
    return (inside[0] if inside else None), (inside[-1] if len(inside) > 1 else None), None


def _seconds(clock: str) -> float:
    """Of "1:02:03", "62:03", "1m 3s" or "12.5 s"."""
    total = 0.0
    for part in re.findall(r"\d+(?:\.\d+)?", clock.replace(",", ".")):
        total = total * 60 + float(part)
    return total


def _clock(time_s: float) -> str:
    minutes, rest = divmod(int(time_s), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _same(one: Point, other: Point) -> bool:
    if one.start_s is not None and other.start_s is not None and abs(one.start_s - other.start_s) > NEAR_S:
        return False
    for mine, theirs in ((one.who, other.who), (one.when, other.when)):
        if mine and theirs and _words(mine) != _words(theirs):
            return False
    words, others = _words(one.text), _words(other.text)
    if sorted(filter(_TELLING.fullmatch, words)) != sorted(filter(_TELLING.fullmatch, others)):
        return False
    shared = sum(min(words.count(word), others.count(word)) for word in set(words))
    return 2 * shared >= SAME * (len(words) + len(others))


def _words(text: str) -> Sequence[str]:
    return [word.casefold() for word in WORD.findall(text)]


def _joined(first: Point, second: Point) -> Point:
    """One point of two that are the same; a doubt stays only where the other does not dispel it."""
    timed = second if first.start_s is None else first
    return replace(
        first,
        start_s=timed.start_s,
        end_s=timed.end_s,
        who=first.who or second.who,
        when=first.when or second.when,
        quote=first.quote or second.quote,
        doubt=doubts(first.doubt, second.doubt) if first.doubt and second.doubt else None,
    )
