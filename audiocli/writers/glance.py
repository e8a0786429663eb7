"""A timeline for reading: the Events of a whole recording come in, as few as a page has room for go out.

An hour of talk holds a thousand pauses; the page shows its course, JSON and the picture have all of it. Seconds come in
and go out; what a page says of an Event is worded here, how it is set is known by each format's writer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from audiocli.writers.said import clocks, line
from audiocli.writers.sounds import name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audiocli.records import Event

ROWS = 24
"""What can be taken in at a glance, about: a row for every two and a half minutes of an hour."""
_FINEST_S = 0.5
"""Where joining begins: what `Facts` counts as a pause."""


@dataclass(frozen=True, slots=True)
class Course:
    """A timeline in few rows, and what that cost."""

    events: tuple[Event, ...]
    apart_s: float = 0.0
    """How far apart stretches were joined; 0.0: none were."""
    left_out: int = 0
    """How many stretches there was no room for, all shorter than those that are shown."""

    @property
    def remark(self) -> str:
        """What a reader must know to read it; "" where nothing was joined or left out."""
        joined = [f"stretches up to {self.apart_s:g} s apart are joined"] if self.apart_s else []
        missing = [f"the {self.left_out} shortest are left out"] if self.left_out else []
        return ", ".join(joined + missing)


def condense(timeline: Sequence[Event], rows: int = ROWS) -> Course:
    """The course of a recording in at most `rows` events, in the order of their starts.

    Silences shorter than some distance are left out, and other stretches that say the same and are no further apart
    become one; the distance is doubled until there are few enough. What models told apart is never joined: where that
    alone is too much, the longest stretches are shown.
    """
    joined, apart_s = list(timeline), 0.0
    span_s = max((event.end_s for event in timeline), default=0.0)
    while len(joined) > rows and apart_s <= span_s:
        apart_s = 2 * apart_s or _FINEST_S
        joined = _joined(timeline, apart_s)
    kept = sorted(joined, key=_length_s, reverse=True)[:rows]
    return Course(tuple(sorted(kept, key=_order)), apart_s, len(joined) - len(kept))


def row(event: Event) -> str:
    """0:07–12:34 music, or what a model said: 0:07–12:34 tone: calm and friendly."""
    return f"{clocks(event.start_s, event.end_s)} {name(event)}"


def _joined(timeline: Sequence[Event], apart_s: float) -> list[Event]:
    alike: dict[tuple[str, str], list[Event]] = {}
    for event in sorted(timeline, key=_order):
        made = alike.setdefault((event.kind, line(event.text)), [])
        if event.kind == "silence":  # by its length: what lies between two silences is not silent
            made += [event] if _length_s(event) > apart_s else []
        elif made and event.start_s - made[-1].end_s <= apart_s:
            made[-1] = replace(made[-1], end_s=max(made[-1].end_s, event.end_s), confidence=None)
        else:
            made.append(event)
    return [event for made in alike.values() for event in made]


def _length_s(event: Event) -> float:
    return event.end_s - event.start_s


def _order(event: Event) -> tuple[float, float]:
    return event.start_s, event.end_s
