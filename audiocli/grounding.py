"""Where words stand in a transcript: quotes are looked up in it, and it is cut into sentences with their times.

In go Segments, and a Summary to check against them; out come the Summary with what was found marked, or Sentences.
Knows no model, no prompt and no language but the abbreviations of a few. All times are seconds of the source.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from audiocli.records import Point, Segment, Summary

NOT_FOUND = "these words are not in the transcript"
TIME_DOUBT = "its time"
"""How doubts about a time begin; they are void once the quote has shown where the words are."""
APART_S = 3.0
"""Nobody pauses so long inside a sentence: without a full stop it ends here all the same."""
LONGEST_WORDS = 90
"""More words than this are not one sentence but speech without full stops. Long spoken sentences have some 75."""
UNIT_WORDS = 30
"""Such speech is cut at segment borders into units of about as many words."""
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\d+|[^\W\d_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
"""Letters or figures in a row; each sign of Chinese or Japanese, which are written without blanks."""

_STOP = re.compile(r"(?:[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？]+[」』”]*)\s*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|sr|jr|vs|gen|rev|hon|approx|dept|inc|ltd|e\.g|i\.e|cf|fig"
    r"|hr|fr|nr|str|bzw|ca|evtl|ggf|inkl|z\.\s?b|d\.\s?h|u\.\s?a|mme|mlle|sra?)|(?<![\w’'])(?!i\b)[^\W\d_])$",
    re.IGNORECASE,
)
"""What a full stop after it does not end: titles, short forms, initials ("I." is not one)."""
_NUMBERED = re.compile(r"\b(?:no|nr|vol|art|§)$", re.IGNORECASE)
"""These are short forms only before a number: "No." alone is an answer."""
_ORDINAL = re.compile(r"\b\d{1,2}$")
_MONTH = re.compile(r"(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])\w*\b", re.IGNORECASE)
_PLAIN = frozenset(
    re.findall(
        r"\w+",
        "a an and the of for to in on at by before until till from with or his her their our my all both is be"
        " mr mrs ms der die das dem den des und oder am im um bis vor zum zur von mit herr frau",
    )
)
"""Words of a name or a date that say neither who nor when."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """What was said from one full stop to the next, as it stands in the transcript."""

    text: str
    start_s: float
    end_s: float
    speaker: str | None = None
    unreliable: str | None = None
    """Why the segments it is from should not be trusted."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """Segments as one text, and for each of its words where it stands and when it was said."""

    text: str
    """The segments' texts with a blank between them."""
    segments: tuple[Segment, ...]
    """Those with words, and where in the text each begins:"""
    begins: tuple[int, ...]
    words: tuple[str, ...]
    """Casefolded, without punctuation."""
    spans: tuple[tuple[int, int], ...]
    """Where each word is in the text."""
    times: tuple[tuple[float, float], ...]
    """When it was said."""
    line: str
    """All words, a blank around each, to look quotes up in, and where in the line each begins:"""
    places: tuple[int, ...]

    def find(self, quote: str, near_s: float | None = None) -> tuple[float, float] | None:
        """When these words were said: one after the other, whatever their case, punctuation and blanks.

        near_s: which of several places is meant; None: the first. Returns None for words that are not there.
        """
        words = [match.group().casefold() for match in WORD.finditer(_composed(quote))]
        sought = f" {' '.join(words)} "
        found: list[tuple[float, float]] = []
        at = self.line.find(sought) if words else -1
        while at >= 0:
            first = bisect_left(self.places, at + 1)
            found.append((self.times[first][0], self.times[first + len(words) - 1][1]))
            if near_s is None:
                break
            at = self.line.find(sought, at + 1)
        return min(found, key=lambda times: abs(times[0] - (near_s or 0.0)), default=None)


def heard(segments: Iterable[Segment]) -> Transcript:
    """A transcript to look words up in. Times come from the segments' words, else by letters between start and end."""
    kept = tuple(segment for segment in segments if WORD.search(segment.text))
    texts = [_composed(segment.text).strip() for segment in kept]
    begins: list[int] = []
    spans: list[tuple[int, int]] = []
    times: list[tuple[float, float]] = []
    offset = 0
    for segment, text in zip(kept, texts, strict=True):
        inside = [match.span() for match in WORD.finditer(text)]
        begins.append(offset)
        spans += [(start + offset, stop + offset) for start, stop in inside]
        times += _times(segment, text, inside)
        offset += len(text) + 1
    whole = " ".join(texts)
    words = tuple(whole[start:stop].casefold() for start, stop in spans)
    places, place = [], 1
    for word in words:
        places.append(place)
        place += len(word) + 1
    return Transcript(
        whole, kept, tuple(begins), words, tuple(spans), tuple(times), f" {' '.join(words)} ", tuple(places)
    )


def ground(summary: Summary, segments: Sequence[Segment]) -> Summary:
    """Check a summary against what was said, so that what cannot be found is marked.

    Each quote is looked up word for word, over segment borders too: `found` is True, with the times from the
    transcript, or False, with a doubt. A quote that is nearly right is not found. Who and when of an action item have
    to occur among the words or the speakers. Without a transcript the summary comes back as it is.
    """
    transcript = heard(segments)
    if not transcript.words:
        return summary
    known = frozenset(transcript.words) | _speakers(transcript)

    def checked(points: Iterable[Point]) -> tuple[Point, ...]:
        return tuple(_named(_located(point, transcript), known) for point in points)

    return replace(
        summary,
        overview=checked(summary.overview),
        key_points=checked(summary.key_points),
        decisions=checked(summary.decisions),
        action_items=checked(summary.action_items),
        open_questions=checked(summary.open_questions),
    )


def doubts(*reasons: str | None) -> str | None:
    """Several doubts as one, each once; None when there are none."""
    pieces = [piece for reason in reasons if reason for piece in reason.split("; ")]
    return "; ".join(dict.fromkeys(pieces)) or None


def sentences(transcript: Transcript) -> tuple[Sentence, ...]:
    """The transcript in sentences, joined over segment borders; ascending, verbatim, each with the times of its words.

    A sentence ends at its full stop, where another speaker goes on, where trust ends or begins, and at a pause of
    `APART_S`. Speech without full stops is cut at segment borders.
    """
    cuts = sorted({0, len(transcript.text), *_stops(transcript.text), *_turns(transcript)})
    found = (_sentence(transcript, start, stop) for start, stop in _sized(transcript, cuts))
    return tuple(sentence for sentence in found if sentence)


def _composed(text: str) -> str:
    """Letters with their accents as one sign each, so that two ways to write one word are equal."""
    return unicodedata.normalize("NFC", text)


def _times(segment: Segment, text: str, inside: Sequence[tuple[int, int]]) -> Iterator[tuple[float, float]]:
    """When each word of a segment was said; by letters, the first begins and the last ends with the segment."""
    begins = _aligned(segment, text)
    if begins:
        for start, stop in inside:
            first, last = (max(bisect_right(begins, at) - 1, 0) for at in (start, stop - 1))
            yield segment.words[first].start_s, segment.words[last].end_s
        return
    pace = (segment.end_s - segment.start_s) / len(text)
    for index, (start, stop) in enumerate(inside):
        start_s = segment.start_s + pace * start if index else segment.start_s
        end_s = segment.start_s + pace * stop if index < len(inside) - 1 else segment.end_s
        yield round(start_s, 3), round(end_s, 3)


def _aligned(segment: Segment, text: str) -> list[int] | None:
    """Where in the text each timed word begins; None when they are not the words of the text."""
    begins: list[int] = []
    at = 0
    for word in segment.words:
        bare = _composed(word.text).strip()
        begin = text.find(bare, at)
        if begin < 0:
            return None
        begins.append(begin)
        at = begin + len(bare)
    return begins


def _speakers(transcript: Transcript) -> frozenset[str]:
    labels = {segment.speaker for segment in transcript.segments if segment.speaker}
    return frozenset(match.group().casefold() for label in labels for match in WORD.finditer(label))


def _located(point: Point, transcript: Transcript) -> Point:
    if point.quote is None or not WORD.search(point.quote):
        return point
    times = transcript.find(point.quote, point.start_s)
    if times is None:
        return replace(point, found=False, doubt=doubts(point.doubt, NOT_FOUND))
    others = [doubt for doubt in (point.doubt or "").split("; ") if not doubt.startswith(TIME_DOUBT)]
    return replace(point, found=True, start_s=times[0], end_s=times[1], doubt=doubts(*others))


def _named(point: Point, known: frozenset[str]) -> Point:
    """Doubts who is to do something, or when, where that was never said."""
    for said in (point.who, point.when):
        words = {match.group().casefold() for match in WORD.finditer(_composed(said or ""))}
        if words - _PLAIN - known:
            point = replace(point, doubt=doubts(point.doubt, f"nobody said {said!r}"))
    return point


def _stops(text: str) -> Iterator[int]:
    """Where sentences end by their punctuation: the offset of what follows."""
    for match in _STOP.finditer(text):
        before, after = text[max(match.start() - 12, 0) : match.start()], text[match.end() :][:12]
        short = _ABBREVIATION.search(before) or (_NUMBERED.search(before) and after[:1].isdigit())
        if match.group().rstrip() != "." or not (short or (_ORDINAL.search(before) and _MONTH.match(after))):
            yield match.end()


def _turns(transcript: Transcript) -> Iterator[int]:
    """Segment borders that no sentence spans."""
    for (before, after), begin in zip(pairwise(transcript.segments), transcript.begins[1:], strict=True):
        changed = before.speaker != after.speaker or (before.unreliable is None) != (after.unreliable is None)
        if changed or after.start_s - before.end_s >= APART_S:
            yield begin


def _sized(transcript: Transcript, cuts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The pieces between cuts; those that are no sentence any more cut at segment borders, or else between words."""
    positions = [start for start, _ in transcript.spans]
    for start, stop in pairwise(cuts):
        first, last = bisect_left(positions, start), bisect_left(positions, stop)
        if last - first <= LONGEST_WORDS:
            yield start, stop
            continue
        while last - first > UNIT_WORDS:
            limit = positions[first + UNIT_WORDS]
            border = transcript.begins[bisect_right(transcript.begins, limit) - 1]
            cut = border if border > start else limit
            yield start, cut
            start, first = cut, bisect_left(positions, cut)
        yield start, stop


def _sentence(transcript: Transcript, start: int, stop: int) -> Sentence | None:
    """The text between two offsets; None where it has no words."""
    text = transcript.text[start:stop].strip()
    first = bisect_left(transcript.spans, (start, 0))
    last = bisect_left(transcript.spans, (stop, 0)) - 1
    if last < first:
        return None
    segment = transcript.segments[bisect_right(transcript.begins, transcript.spans[first][0]) - 1]
    return Sentence(text, transcript.times[first][0], transcript.times[last][1], segment.speaker, segment.unreliable)
