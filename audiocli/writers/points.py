"""Points of a summary: a Summary comes in, its lists by name and each Point in one line go out.

What stands in such a line, and in which order, is decided here for every page; how text is escaped and what stands for
bold is told by the page. Knows no other part of a Document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from audiocli.writers.said import clock, line, passage

if TYPE_CHECKING:
    from collections.abc import Callable

    from audiocli.records import Point, Summary

OVERVIEW = "Overview"
"""Title of the only list that reads as text."""
NOTHING = "There is nothing to summarize."
"""What stands for a summary without a point, as that of silence."""
NOT_FOUND = "the quoted words are not in the transcript"
"""The doubt about a quote that was looked for in vain, where nobody worded one."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a page writes."""

    escape: Callable[[str], str] = line
    """Any text on one line, as that page shows it."""
    passage: Callable[[str], str] = passage
    """Text of several lines."""
    strong: str = ""
    """Stands on both sides of what catches the eye."""
    aside: str = ""
    """Stands on both sides of a remark that nobody said."""

    def bold(self, text: str) -> str:
        return f"{self.strong}{text}{self.strong}"

    def remark(self, text: str) -> str:
        return f"{self.aside}({text}){self.aside}"


def sections(summary: Summary) -> tuple[tuple[str, tuple[Point, ...]], ...]:
    """Title and points of every list that holds any, in the order of a page of minutes."""
    every = {
        OVERVIEW: summary.overview,
        "Key points": summary.key_points,
        "Decisions": summary.decisions,
        "Action items": summary.action_items,
        "Open questions": summary.open_questions,
    }
    seen = ((title, tuple(point for point in points if line(point.text))) for title, points in every.items())
    return tuple((title, points) for title, points in seen if points)


def written(point: Point, style: Style) -> str:
    """When, what, who and by when, the words it rests on, and what speaks against it: each where it is known.

    A point that is nothing but a quote stands in quotation marks, so that nobody takes it for a finding.
    """
    verbatim = line(point.quote or "") == line(point.text)
    time = [f"[{clock(point.start_s)}]"] if point.start_s is not None else []
    said = style.escape(point.text)
    dashed = [f"“{said}”" if verbatim else said, *_owner(point, style)]
    if not verbatim and line(point.quote or ""):
        dashed.append(f"“{style.escape(point.quote or '')}”")
    return " ".join([*time, " — ".join(dashed), *_remark(point, style)])


def told(point: Point, style: Style) -> str:
    """The same for a point that stands by itself: one of several lines, which nobody could take apart, keeps them."""
    if len(point.text.strip().splitlines()) < 2:
        return written(point, style)
    return "\n\n".join([style.passage(point.text), *_remark(point, style)])


def _owner(point: Point, style: Style) -> list[str]:
    who, when = style.escape(point.who or ""), style.escape(point.when or "")
    known = [*([style.bold(who)] if who else []), *([when] if when else [])]
    return [", ".join(known)] if known else []


def _remark(point: Point, style: Style) -> list[str]:
    """Why the point should not be trusted; nothing where nothing speaks against it."""
    doubt = NOT_FOUND if point.doubt is None and point.found is False else point.doubt
    return [] if doubt is None else [style.remark(f"doubtful: {style.escape(doubt)}")]
