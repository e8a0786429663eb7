"""Subtitles: a `Document` comes in, cues of a few short lines go out as SubRip (SRT) or WebVTT.

A segment becomes one or more cues and no cue holds more than one segment, because a segment is one speaker. Where to
cut it into cues, and those into lines, is a shortest path over the places between words: each piece costs what a reader
suffers by it. Music and other sounds get a cue where no words stand. Seconds come in; inside all times are whole
milliseconds, which is what both formats can say.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from audiocli.writers import sounds
from audiocli.writers.said import line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from audiocli.records import Document, Event, Segment
    from audiocli.writers.shape import Shape

# What a piece costs. Only proportions count; one cue more costs 1.
LONG = 0.3
"""For each second a cue would last too long."""
LONELY = 1.5
"""For a cue without text; falls to 0 at a third of a line."""
PAUSE = 1.5
"""For each second of pause inside a cue, which shows words long before they are said. A cut saves only the pause it is
made at and costs a cue, so about a second is needed before one is made."""
BREATH_MS = 300
"""A pause at which a cut is as good as at a comma."""
SOUND_MS = 1000
"""A sound that can be shown for less is not worth the reader's eye."""
STILL_MS = 5000
"""A sound that words have interrupted is shown again only where it goes on alone for this long: music under a
conversation must not flicker in every pause."""

_SENTENCE_END = tuple(".!?…。！？؟।")
_CLAUSE_END = tuple(",;:，、；：،–—")
_CLOSING = "\"'”’»)]」』）】》"
_LEADERS = frozenset(
    """
    and or but because that which who when while if so than with for of to in on at
    und oder aber weil dass wenn der die das mit von zu
    et ou mais que qui parce de du des le la les un une avec pour
    y o pero porque con para el los las e ma perché che per di il
    """.split()  # noqa: SIM905 - sixty lines of list are no easier to read
)
"""Words that belong to what follows them: better to begin a line with one than to end it. A hint only, so languages
may disagree about a word."""
_NEVER_FIRST = frozenset("ー々ゝゞヽヾ〜ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ")
"""Japanese signs that a line must not begin with, besides closing punctuation (JIS X 4051)."""
_SRT_BRACES = str.maketrans("{}", "()")
_VTT_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True, slots=True)
class Cue:
    """What is on the screen at once."""

    start_ms: int
    end_ms: int
    """Later than `start_ms`."""
    speaker: str
    """Empty where it is not known."""
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Atom:
    """What is never broken: a word, or one sign of a script without blanks. `left` and `right` are its columns in the
    segment written as a single line."""

    text: str
    spaced: bool
    """A blank stands before it."""
    left: int
    right: int
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class _Room:
    """How many columns each line of a cue has."""

    first: int
    others: int
    count: int

    @property
    def columns(self) -> int:
        return self.first + self.others * (self.count - 1)


def render_srt(document: Document, shape: Shape) -> str:
    """SubRip: numbered cues, the speaker written out before the first line ("Ann: Good morning."); "" for silence."""
    blocks = (
        f"{number}\n{_times(cue, ',')}\n" + "".join(f"{_srt_text(text)}\n" for text in cue.lines)
        for number, cue in enumerate(cues(document, shape, written_speaker), start=1)
    )
    return "\n".join(blocks)


def render_vtt(document: Document, shape: Shape) -> str:
    """WebVTT: the speaker is a voice tag, which players may show or not; the header alone for silence."""
    blocks = (f"{_times(cue, '.')}\n{_voice(cue)}{_vtt_text(cue.lines)}\n" for cue in cues(document, shape))
    return "WEBVTT\n\n" + "\n".join(blocks)


def cues(
    document: Document, shape: Shape, label: Callable[[str, int], str] = lambda speaker, width: ""
) -> tuple[Cue, ...]:
    """Cut every segment that has text into cues of `shape`, in the order of their starts, with sounds between them.

    label: what to write before the first line of a cue for its speaker, in at most half of so many columns.
    Every word stands in exactly one cue, in its order. Cues begin and end with their words, unless they would be too
    short to read: then they stay on until the next cue, and inside a segment that may wait for them. Cues of one
    speaker never overlap, and those of sounds overlap nothing.
    """
    drafts = [cue for segment in document.segments for cue in _cut_segment(segment, shape, label)]
    spoken = list(_linger(_apart(drafts), round(document.duration_s * 1000), shape))
    return tuple(sorted([*spoken, *_sounds(document.events, spoken, shape)], key=lambda cue: cue.start_ms))


def written_speaker(speaker: str, width: int) -> str:
    """The name, a colon and a blank, shortened with an ellipsis where they would take over half of `width` columns."""
    room = width // 2 - 2
    if not speaker or columns(speaker) <= room:
        return f"{speaker}: " if speaker else ""
    kept = next(_pieces(speaker, room - 1)).rstrip()
    return f"{kept}…: "


def columns(text: str) -> int:
    """How wide it is: East Asian wide and fullwidth characters take two columns, combining and format marks none."""
    return sum(map(_column, text))


@lru_cache(maxsize=4096)
def _column(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


# --- a segment into cues ----------------------------------------------------------------------------------------------


def _cut_segment(segment: Segment, shape: Shape, label: Callable[[str, int], str]) -> Iterator[Cue]:
    """The cues of one segment, ascending and apart; none for text that cannot be seen."""
    if not columns(line(segment.text)):
        return
    speaker = line(segment.speaker or "")
    written = label(speaker, shape.max_line_width)
    room = _Room(shape.max_line_width - columns(written), shape.max_line_width, shape.max_line_count)
    atoms = _atoms(segment, room.first)
    cuts = _cue_cuts(atoms, room, shape)
    starts_ms = _starts([atoms[start].start_ms for start, _ in cuts], segment, shape)
    for (start, stop), start_ms, next_ms in zip(cuts, starts_ms, [*starts_ms[1:], _end_ms(segment)], strict=True):
        lines = list(_lay_out(atoms[start:stop], room))
        lines[0] = written + lines[0]
        end_ms = min(atoms[stop - 1].end_ms, next_ms, start_ms + _ms(shape.max_cue_s))
        yield Cue(start_ms, end_ms, speaker, tuple(lines))


def _cue_cuts(atoms: Sequence[_Atom], room: _Room, shape: Shape) -> list[tuple[int, int]]:
    """Runs of atoms that make a cue each: they fit its lines and leave as little as possible to wish for."""
    gaps = (after.start_ms - before.end_ms for before, after in pairwise(atoms))
    pauses = [0, *accumulate(gaps)]
    awkward = _awkwardness(atoms)

    def cost(start: int, stop: int) -> float:
        width = atoms[stop - 1].right - atoms[start].left
        length_s = (atoms[stop - 1].end_ms - atoms[start].start_ms) / 1000
        return (
            1
            + (width / room.columns) ** 2  # sums of squares are least where the parts are equal
            + 3 * awkward[stop]
            + LONG * max(length_s - shape.max_cue_s, 0)
            + LONELY * max(1 - 3 * width / room.others, 0)
            + PAUSE * (pauses[stop - 1] - pauses[start]) / 1000
        )

    return _cheapest(len(atoms), lambda start: _reach(atoms, start, room), cost)


def _starts(spoken_ms: Sequence[int], segment: Segment, shape: Shape) -> list[int]:
    """When the cues of a segment begin: with their words, moved by what gives each its shortest time.

    Models give several words in a row no duration, most often the last ones. Where the segment is too short for so many
    cues they share it.
    """
    count, end_ms = len(spoken_ms), _end_ms(segment)
    least_ms = min(max(_ms(shape.min_cue_s), 1), (end_ms - _ms(segment.start_s)) // count)
    in_time = (min(own_ms, end_ms - least_ms * (count - index)) for index, own_ms in enumerate(spoken_ms))
    return list(accumulate(in_time, lambda before_ms, own_ms: max(own_ms, before_ms + least_ms)))


def _reach(atoms: Sequence[_Atom], start: int, room: _Room) -> int:
    """The first atom that no longer fits when a cue begins with atom `start`; at least `start` + 1."""
    stop = start
    for width in (room.first, *[room.others] * (room.count - 1)):
        stop = _line_reach(atoms, stop, width)
    return stop


def _line_reach(atoms: Sequence[_Atom], start: int, width: int) -> int:
    stop = start
    while stop < len(atoms) and atoms[stop].right - atoms[start].left <= width:
        stop += 1
    return stop


def _cheapest(count: int, reach: Callable[[int], int], cost: Callable[[int, int], float]) -> list[tuple[int, int]]:
    """Cut 0…count into runs [start, stop) of the least total cost: a shortest path.

    reach: the furthest stop of a run from `start`, always beyond it.
    """
    best = [0.0] + [float("inf")] * count
    before = [0] * (count + 1)
    for start in range(count):
        for stop in range(start + 1, reach(start) + 1):
            total = best[start] + cost(start, stop)
            if total < best[stop]:
                best[stop], before[stop] = total, start
    stops = [count]
    while stops[-1]:
        stops.append(before[stops[-1]])
    stops.reverse()
    return list(pairwise(stops))


def _awkwardness(atoms: Sequence[_Atom]) -> list[float]:
    """How much a reader minds a cut before each atom, and after the last: nothing at both ends."""
    return [0.0, *(_awkward_between(before, after) for before, after in pairwise(atoms)), 0.0]


def _awkward_between(before: _Atom, after: _Atom) -> float:
    """0 at the end of a sentence, 2 inside a word."""
    if not (after.spaced or _may_part(before.text[-1], after.text[0])):
        return 2.0
    ending = before.text.rstrip(_CLOSING) or before.text
    if ending.endswith(_SENTENCE_END):
        return 0.0
    if ending.endswith(_CLAUSE_END) or after.start_ms - before.end_ms >= BREATH_MS:
        return 0.15
    if ending.casefold() in _LEADERS:
        return 1.2
    return 0.25 if after.text.casefold() in _LEADERS else 0.5


# --- a cue into lines -------------------------------------------------------------------------------------------------


def _lay_out(atoms: Sequence[_Atom], room: _Room) -> Iterator[str]:
    """As few lines as can be, of about the same width, broken where it reads best."""
    awkward = _awkwardness(atoms)

    def reach(start: int) -> int:
        return _line_reach(atoms, start, room.others if start else room.first)

    def cost(start: int, stop: int) -> float:
        width = atoms[stop - 1].right - atoms[start].left
        return 100 + 4 * (width / room.others) ** 2 + awkward[stop]  # 100: no elegance is worth another line

    for start, stop in _cheapest(len(atoms), reach, cost):
        rest = "".join(f" {atom.text}" if atom.spaced else atom.text for atom in atoms[start + 1 : stop])
        yield atoms[start].text + rest


# --- text into atoms --------------------------------------------------------------------------------------------------


def _atoms(segment: Segment, width: int) -> list[_Atom]:
    """The segment's text in pieces of at most `width` columns, each with the times of its first and last character."""
    times = _char_times(segment)
    atoms: list[_Atom] = []
    right = used = 0
    for word in line(segment.text).split(" "):
        for number, text in enumerate(_breakable(word, width)):
            spaced = bool(atoms) and number == 0
            left = right + spaced
            right = left + columns(text)
            start_ms, end_ms = times[used][0], times[used + len(text) - 1][1]
            used += len(text)
            atoms.append(_Atom(text, spaced, left, right, start_ms, end_ms))
    return atoms


def _char_times(segment: Segment) -> list[tuple[int, int]]:
    """Start and end in ms of every character that is not a blank, ascending, inside the segment.

    They come from the words where these spell the text; otherwise they share the segment by their width.
    """
    spelled = [(line(word.text).replace(" ", ""), word.start_s, word.end_s) for word in segment.words]
    text = line(segment.text).replace(" ", "")
    if "".join(word for word, _, _ in spelled) != text:
        spelled = [(text, segment.start_s, segment.end_s)]
    low, high = _ms(segment.start_s), _end_ms(segment)
    times: list[tuple[int, int]] = []
    for word, start_s, end_s in spelled:
        start_ms = min(max(_ms(start_s), low), high)
        low = min(max(_ms(end_s), start_ms), high)
        times.extend(_shared(word, start_ms, low))
    return times


def _shared(word: str, start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    """Times of the characters of a word, each as long as it is wide."""
    shares = [0, *accumulate(max(_column(char), 1) for char in word)]
    edges = [start_ms + (end_ms - start_ms) * share // shares[-1] for share in shares] if word else []
    return pairwise(edges)


def _breakable(word: str, width: int) -> Iterator[str]:
    """A word without blanks at the places where its script allows a line to end, and wherever it is too wide."""
    start = 0
    for index in range(1, len(word) + 1):
        if index == len(word) or _may_part(word[index - 1], word[index]):
            yield from _pieces(word[start:index], width)
            start = index


def _may_part(before: str, after: str) -> bool:
    """Whether a line may end between two characters of one word: in Chinese and Japanese, not beside every mark."""
    if not (_stands_alone(before) or _stands_alone(after)):
        return False
    opens = unicodedata.category(before) in ("Ps", "Pi")
    closes = unicodedata.category(after) in ("Pe", "Pf", "Po", "Pd", "Mn", "Mc", "Me", "Cf") or after in _NEVER_FIRST
    return not opens and not closes


@lru_cache(maxsize=4096)
def _stands_alone(char: str) -> bool:
    """Characters of scripts that put no blanks between words. Korean is as wide, but does."""
    wide = unicodedata.east_asian_width(char) in "WF" and unicodedata.category(char)[0] in "LP"
    return wide and not unicodedata.name(char, "").startswith("HANGUL")


def _pieces(word: str, width: int) -> Iterator[str]:
    """The word itself, or if it is wider than a line, pieces of it that are not; marks stay with their letter."""
    piece, used = "", 0
    for cluster in _clusters(word, width):
        wide = columns(cluster)
        if piece and used + wide > width:
            yield piece
            piece, used = "", 0
        piece, used = piece + cluster, used + wide
    if piece:
        yield piece


def _clusters(word: str, width: int) -> Iterator[str]:
    """Letters with their marks, emoji with their modifiers; single characters of what is wider than a line even so."""
    cluster = ""
    for char in word:
        joined = unicodedata.category(char) in ("Mn", "Mc", "Me", "Cf", "Sk") or cluster.endswith("\u200d")
        if cluster and not (joined and columns(cluster + char) <= width):
            yield cluster
            cluster = ""
        cluster += char
    if cluster:
        yield cluster


# --- times ------------------------------------------------------------------------------------------------------------


def _apart(drafts: Iterable[Cue]) -> list[Cue]:
    """Cues in the order of their starts, each with a duration, those of one speaker one after the other.

    Segments of one speaker that overlap, and such as have no duration, push what follows them by as little as will do.
    """
    ends: dict[str, int] = {}
    moved = []
    for cue in sorted(drafts, key=lambda cue: cue.start_ms):
        start_ms = max(cue.start_ms, ends.get(cue.speaker, 0))
        ends[cue.speaker] = end_ms = max(cue.end_ms, start_ms + 1)
        moved.append(replace(cue, start_ms=start_ms, end_ms=end_ms))
    return sorted(moved, key=lambda cue: cue.start_ms)


def _linger(cues: Sequence[Cue], duration_ms: int, shape: Shape) -> Iterator[Cue]:
    """Let short cues stay on until they can be read, though not beyond the next cue, the recording or the longest."""
    for index, cue in enumerate(cues):
        limit_ms = cues[index + 1].start_ms if index + 1 < len(cues) else duration_ms
        reading_s = columns("".join(cue.lines)) / shape.max_columns_per_s
        wanted_ms = cue.start_ms + _ms(min(max(shape.min_cue_s, reading_s), shape.max_cue_s))
        yield replace(cue, end_ms=max(cue.end_ms, min(wanted_ms, limit_ms)))


def _end_ms(segment: Segment) -> int:
    return _ms(max(segment.start_s, segment.end_s))


def _ms(time_s: float) -> int:
    return round(time_s * 1000)


# --- sounds -----------------------------------------------------------------------------------------------------------


def _sounds(events: Iterable[Event], spoken: Iterable[Cue], shape: Shape) -> list[Cue]:
    """Cues for music and the like at the beginning of each stretch that is theirs alone and long enough."""
    taken = [(cue.start_ms, cue.end_ms) for cue in spoken]
    made = []
    for event in sounds.shown(events):
        written, least_ms = sounds.label(event), SOUND_MS
        text = written if columns(written) <= shape.max_line_width else sounds.brief(event)
        for start_ms, stop_ms in _free(_ms(event.start_s), _ms(event.end_s), taken):
            if stop_ms - start_ms >= least_ms:
                cue = Cue(start_ms, min(stop_ms, start_ms + _ms(shape.max_cue_s)), "", (text,))
                made.append(cue)
                taken.append((cue.start_ms, cue.end_ms))
                least_ms = STILL_MS
    return made


def _free(start_ms: int, stop_ms: int, taken: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of start…stop none of the stretches reaches, ascending; pieces where two of them meet may be empty."""
    inside = sorted((start, stop) for start, stop in taken if start < stop_ms and stop > start_ms)
    starts = accumulate((stop for _, stop in inside), max, initial=start_ms)
    return list(zip(starts, [*(start for start, _ in inside), stop_ms], strict=True))


# --- spelling ---------------------------------------------------------------------------------------------------------


def _times(cue: Cue, point: str) -> str:
    return f"{_stamp(cue.start_ms, point)} --> {_stamp(cue.end_ms, point)}"


def _stamp(time_ms: int, point: str) -> str:
    """01:02:03,456; the hours may have more than two digits."""
    second, ms = divmod(time_ms, 1000)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    return f"{hour:02}:{minute:02}:{second:02}{point}{ms:03}"


def _srt_text(text: str) -> str:
    """SRT can escape nothing, and players obey "<i>", "\\N" and "{\\an8}" in it, or hide whatever stands in braces.

    An invisible joiner after "<" and a backslash keeps them text. Braces and arrows are replaced: no joiner saves them.
    """
    plain = text.replace("-->", "→").translate(_SRT_BRACES)
    return re.sub(r"[<\\]", "\\g<0>\u2060", plain)


def _vtt_text(lines: Iterable[str]) -> str:
    return "\n".join(text.translate(_VTT_ESCAPES) for text in lines)


def _voice(cue: Cue) -> str:
    return f"<v {cue.speaker.translate(_VTT_ESCAPES)}>" if cue.speaker else ""
