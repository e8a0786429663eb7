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
    "overview": r"overviews?|(?:(?:executive|brief|short|overall) )?summary|abstract|tl;?dr|überblick|zusammenfassung",
    "key_points": r"(?:(?:key|main|important|discussion)[ -])?(?:points?|topics?)|key[ -](?:takeaways?|facts?|ideas?)"
    r"|main ideas?|highlights?|kernpunkte?|wichtiger? punkte?",
    "decisions": r"(?:key )?decisions?(?: (?:made|taken))?|entscheidung(?:en)?|beschl(?:uss|üsse)",
    "action_items": r"actions?(?:[ -](?:items?|points?))?|to[- ]?dos?|next steps?|tasks?|follow-?ups?|aufgaben?"
    r"|nächste schritte",
    "open_questions": r"(?:(?:open|unresolved|unanswered|remaining) )?questions?"
    r"|(?:open|unresolved) (?:issues?|points?)|offene (?:fragen?|punkte)|fragen?",
}
_CLOCK = r"(?:\d{1,3}:)?\d{1,3}:\d{2}(?:[.,]\d+)?|\d+(?:\.\d+)?\s?s(?:ec)?"
_TEMPLATE = r"(?:h:)?m{1,2}:ss"
_RANGE = rf"\s*(?:at\s+)?(?:{_CLOCK}|{_TEMPLATE})(?:\s*(?:-|–|—|to|bis|,)\s*(?:{_CLOCK}|{_TEMPLATE}))*\s*"
_STAMP = rf"(?:\[{_RANGE}\]|\({_RANGE}\))"
_LABELLED = re.compile(
    rf"(?:{'|'.join(f'(?P<{kind}>{label})' for kind, label in _LABELS.items())})(?:\s*#?\d{{1,3}})?"
    rf"\s*(?P<stamp>{_STAMP})?\s*(?:[:：]|\s[-–—]\s|$)\s*(?P<text>.*)",
    re.IGNORECASE,
)
_OPENING = re.compile(r"\{|\[(?=\s*\{)")
_QUOTED_BELOW = re.compile(rf"(?:quote|evidence|zitat)\s*(?P<stamp>{_STAMP})?\s*:\s*(?P<text>.+)", re.IGNORECASE)
_BULLET = re.compile(r"(?:(?:[-*•‣◦▪·–—+]|\d{1,2}[.)])\s+|\[[ xX]?\]\s+)+")
_HEADING = re.compile(r"#{1,6}\s+|>\s+")
_EMPHASIS = re.compile(r"(?<!\w)\*{1,3}(?=\S)|(?<=\S)\*{1,3}(?!\w)|__")
_RULE = re.compile(r"[\s|:=_*-]*|```\w*")
_LEADING = re.compile(rf"(?P<stamp>{_STAMP}|\d{{1,3}}:\d{{2}}(?=\s*[-–—:]\s))\s*[-–—:]?\s*(?P<text>.*)", re.DOTALL)
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
_NONE = re.compile(
    r"(?:none|no|no one|nobody|nothing|n/?a|tbd|unknown|unassigned|unclear|unspecified|what|who|when"
    r"|-+|–|—|\?+|…|\.\.\."
    r"|not (?:mentioned|specified|stated|given|said|applicable|clear|known|assigned|decided)"
    r"|no (?:\w+ )?(?:decisions?|actions?|action items?|questions?|key points?|deadline|date|owner)"
    r"(?: (?:was|were|are|is|have been|has been) .*)?|keine?[rs]?|unbekannt|niemand)?[.!]?",
    re.IGNORECASE | re.DOTALL,
)
"""How models say that there is none, or hand back the form unfilled."""
_FIELDS: dict[str, str] = {
    **dict.fromkeys(("text", "what", "point", "description", "summary", "title", "name", "content", "topic"), "text"),
    **dict.fromkeys(("decision", "question", "action", "action item", "task", "item", "was", "aufgabe"), "text"),
    **dict.fromkeys(("time", "timestamp", "start", "start s", "at", "zeit"), "stamp"),
    **dict.fromkeys(("who", "owner", "assignee", "assigned to", "responsible", "person", "wer"), "who"),
    **dict.fromkeys(("when", "due", "due date", "deadline", "by when", "date", "wann", "bis wann"), "when"),
    **dict.fromkeys(("quote", "evidence", "words", "zitat"), "quote"),
    **dict.fromkeys(("type", "kind", "label", "category"), "kind"),
}
"""What models call the parts of a point, in JSON, in the heads of tables and in front of them."""
_NAMED = re.compile(
    rf"[|,;(]\s*({'|'.join(name for name, field in _FIELDS.items() if field in ('who', 'when'))})"
    r"\s*[:=]\s*([^|,;()]+)\)?",
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
    for draft in drafts:
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
    for line in text.splitlines():
        bare, mark = _bare(line)
        if _RULE.fullmatch(bare):
            page.broken = True
        elif label := _LABELLED.fullmatch(bare):
            page.labelled(_kind_of(label), label["text"], label["stamp"] or "")
        elif page.drafts and (quote := _QUOTED_BELOW.fullmatch(bare)):
            page.quoted(quote["text"], quote["stamp"] or "")
        elif mark == "heading" or (not mark and bare.endswith(":")):
            page.headed(None)
        elif bare.startswith("|"):
            page.row([cell.strip() for cell in bare.strip("|").split("|")])
        else:
            page.line(bare, bulleted=bool(mark))
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

    def headed(self, kind: Kind | None) -> None:
        self.kind, self.under_heading, self.columns, self.broken = kind, True, [], True

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
            self.drafts.append(_draft(self.kind or "key_points", dict(zip(self.columns, cells, strict=False))))
        else:
            self.line(" | ".join(cells), bulleted=True)

    def line(self, text: str, *, bulleted: bool) -> None:
        """A line without a label: a point under the heading above, or more of the last point, or out of form."""
        if bulleted or self.broken or not self.drafts:
            formless = self.kind is None or not (bulleted or self.under_heading)
            kind = self.kind if self.kind and not formless else "key_points" if bulleted else "overview"
            self.drafts.append(_Draft(kind, text, formless=formless))
        else:
            self.drafts[-1] = replace(self.drafts[-1], text=f"{self.drafts[-1].text} {text}")
        self.broken = False


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
    if _NONE.fullmatch(text):
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
    return draft


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
    return None if _NONE.fullmatch(bare) else bare


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
    """Of "1:02:03", "62:03" or "12.5 s"."""
    total = 0.0
    for part in clock.rstrip("sec ").replace(",", ".").split(":"):
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
