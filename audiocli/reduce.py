"""Summaries of any length: notes of many stretches become one, level by level, each within what a model can take.

In go Notes, out come Requests, a level at a time, and in the end one Note. This room knows no engine: the conductor
asks, and sends the answers back. Nothing is cut off: what does not fit is split, what could not be answered is kept in
its own words and marked. Equal notes and answers give equal requests, so that the store can answer a repeated run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

from audiocli.records import Note, Reply, Request

Ask: TypeAlias = Callable[[Sequence[Note]], Request]
"""Words the question that puts consecutive notes together. Equal notes, equal request."""
Fits: TypeAlias = Callable[[Request], bool]
"""Whether a request, with the room for its answer, is within the model's context. Fewer notes never need more."""
Reduction: TypeAlias = Generator[list[Request], Sequence[Reply | Exception], Note]
"""Yields requests to answer together; takes as many answers, in their order; returns the one note."""

SHRINK = 0.9
"""A level that leaves as many notes as it found is worth another only if their text became this much shorter."""
TOO_LONG = "longer than the model takes at once"
CUT_OFF = "the answer stopped at its token budget"
EMPTY = "the answer was empty"
STUCK = "the notes could not be put together: the answers did not get shorter"
_BREAKS = (re.compile(r"\s*\n\s*"), re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])\s*"), re.compile(r"\s+"))
"""Where a text may be split, the best first: between lines, sentences, words."""


def reduce(notes: Sequence[Note], ask: Ask, fits: Fits, *, reword: bool = True) -> Reduction:
    """Put notes together until there is one, without a request beyond what `fits` allows.

    notes: in the order of the recording; blank ones are left out, and with none there is nothing to ask.
    reword: a single note is asked about too, so that its wording is the final one; False returns it as it is.
    Each level packs consecutive notes into as few requests as fit, and yields them together. A group that failed, or
    whose answer is blank or stopped at its token budget, is asked again in halves; a note that fails alone is set
    aside as it is. What is set aside stands in the result beside the last answer, which is then marked unreliable.

    It ends: a level is followed by another only if it left fewer notes, or as many with `SHRINK` of their text, so the
    pair (notes, length) falls in lexicographic order, its second part by a factor; and halving ends at one note.
    """
    left = [note for note in notes if note.text.strip()]
    if not left:
        return Note(min((note.start_s for note in notes), default=0.0), max((n.end_s for n in notes), default=0.0), "")
    if len(left) == 1 and not reword:
        return left[0]
    aside: list[Note] = []
    before: tuple[int, int] | None = None
    while True:
        left, too_long = _split(left, ask, fits)
        aside += too_long
        size = (len(left), sum(len(note.text) for note in left))
        if before and not (size[0] < before[0] or (size[0] == before[0] and size[1] <= SHRINK * before[1])):
            return _beside([_marked(note, STUCK) for note in left], aside)
        left, failed = yield from _answered(_packed(left, ask, fits), ask)
        aside += failed
        if len(left) <= 1:
            return _beside(left, aside)
        before = size


def _split(notes: Iterable[Note], ask: Ask, fits: Fits) -> tuple[list[Note], list[Note]]:
    """Notes that fit, each alone, and those of which some part would not fit however small."""
    fitting: list[Note] = []
    too_long: list[Note] = []
    for note in notes:
        parts = _parts(note, lambda part: fits(ask([part])))
        if parts is None:
            too_long.append(_marked(note, TOO_LONG))
        else:
            fitting += parts
    return fitting, too_long


def _parts(note: Note, fits: Callable[[Note], bool]) -> list[Note] | None:
    """The note in parts that fit, all with its times; None when a single letter would be too much."""
    parts: list[Note] = []
    waiting = [note.text.strip()]
    while waiting:
        text = waiting.pop()
        part = note if text == note.text else replace(note, text=text)
        if fits(part):
            parts.append(part)
        elif len(text) < 2:
            return None
        else:
            waiting += reversed(_halves(text))
    return parts


def _halves(text: str) -> tuple[str, str]:
    """A text of two letters or more, without blanks around it, in two that are not empty, at its most central break."""
    middle = len(text) // 2
    for pattern in _BREAKS:
        inside = [match for match in pattern.finditer(text) if match.start() and match.end() < len(text)]
        if inside:
            cut = min(inside, key=lambda match: abs(match.start() - middle))
            return text[: cut.start()], text[cut.end() :]
    return text[:middle], text[middle:]


def _packed(notes: Sequence[Note], ask: Ask, fits: Fits) -> list[list[Note]]:
    """Consecutive notes in as few groups as fit. For each note alone it is known that it does."""
    groups: list[list[Note]] = []
    for note in notes:
        if groups and fits(ask([*groups[-1], note])):
            groups[-1].append(note)
        else:
            groups.append([note])
    return groups


def _answered(
    groups: Sequence[Sequence[Note]], ask: Ask
) -> Generator[list[Request], Sequence[Reply | Exception], tuple[list[Note], list[Note]]]:
    """One level: what was answered, a note per group or part of a group, and the notes that failed alone; in order."""
    notes = [note for group in groups for note in group]
    ends = [sum(map(len, groups[: index + 1])) for index in range(len(groups))]
    waiting = list(zip([0, *ends], ends, strict=False))
    answered: dict[int, Note] = {}
    failed: dict[int, Note] = {}
    while waiting:
        replies = yield [ask(notes[start:stop]) for start, stop in waiting]
        halves: list[tuple[int, int]] = []
        for (start, stop), reply in zip(waiting, replies, strict=True):
            middle = (start + stop) // 2
            if not isinstance(reply, Exception) and not _trouble(reply):
                answered[start] = _spanning(notes[start:stop], reply)
            elif middle > start:
                halves += [(start, middle), (middle, stop)]
            else:
                failed[start] = _marked(notes[start], f"kept as it was noted: {_trouble(reply)}")
        waiting = halves
    return [answered[start] for start in sorted(answered)], [failed[start] for start in sorted(failed)]


def _trouble(reply: Reply | Exception) -> str | None:
    """Why an answer cannot stand for the notes it was asked about."""
    if isinstance(reply, Exception):
        return str(reply) or type(reply).__name__
    if reply.stop == "length":
        return CUT_OFF
    return None if reply.text.strip() else EMPTY


def _spanning(notes: Sequence[Note], reply: Reply) -> Note:
    reasons = [*(note.unreliable for note in notes), reply.unreliable]
    return Note(notes[0].start_s, max(note.end_s for note in notes), reply.text.strip(), _told(reasons))


def _marked(note: Note, reason: str) -> Note:
    return replace(note, unreliable=_told([note.unreliable, reason]))


def _beside(answered: Sequence[Note], aside: Sequence[Note]) -> Note:
    """One note of all, in the order of the recording; the lines of one stay apart from the lines of the next."""
    notes = sorted([*answered, *aside], key=lambda note: note.start_s)
    reasons = _told([note.unreliable for note in notes])
    text = "\n".join(note.text.strip() for note in notes)
    return Note(notes[0].start_s, max(note.end_s for note in notes), text, reasons)


def _told(reasons: Iterable[str | None]) -> str | None:
    """Each reason once; those that were joined before are taken apart again, so that levels do not repeat them."""
    pieces = [piece for reason in reasons if reason for piece in reason.split("; ")]
    return "; ".join(dict.fromkeys(pieces)) or None
