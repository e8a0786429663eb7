"""Fifth stage: from what was answered window by window to one Document in the source's own time.

In go Hearings (windows with their replies, one Hearing per channel heard), out comes a Document. This is where samples
become seconds. Promises: times ascend, no word twice where windows overlap and none lost, and the seconds of the input
are accounted for, each once. Knows no audio, no engine and no files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise, product

from audiocli.records import (
    RATE,
    Chunk,
    ChunkSpan,
    Coverage,
    Document,
    Gap,
    Job,
    Provenance,
    Reply,
    Segment,
    Span,
    Speech,
    Window,
    Word,
    seconds,
)
from audiocli.timemap import TimeMap

JOIN_SNAP_S = 0.6
"""A time so near to removed silence belongs to the words on its other side: what is kept as padding there."""
APART_S = 2.0
"""Silence so long between two words of a segment makes two of it: else it would claim the silence as speech."""
SEAM_S = 1.5
"""Two mentions of one word at a seam are no further apart than this."""
SAID = re.compile(r"\s*(?:[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+)")
"""A word with the blank before it; Chinese and Japanese have no blanks, so each of their signs counts as one."""
KINDS = ("failed", "unreliable", "transcribed", "event", "silence")
"""What a second can be, the graver first: where channels differ, the graver counts."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One window and what became of it: a reply, or the reason why there is none."""

    window: Window
    reply: Reply | None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Hearing:
    """All that was heard of one channel, or of the mix of all."""

    speech: Speech
    heard: tuple[Heard, ...]
    channel: int | None = None


def assemble(
    job: Job,
    hearings: Sequence[Hearing],
    chunks: Sequence[Chunk],
    provenance: Provenance,
    warnings: Iterable[str] = (),
) -> Document:
    """One Document from the hearings of one source; several channels are told apart by speaker labels."""
    total = max(hearing.speech.total for hearing in hearings)
    segments: list[Segment] = []
    for hearing in hearings:
        speaker = f"Channel {hearing.channel + 1}" if len(hearings) > 1 and hearing.channel is not None else None
        segments += [replace(segment, speaker=speaker) for segment in _transcript(hearing)]
    segments.sort(key=lambda segment: segment.start_s)
    return Document(
        source=job.shown,
        stem=job.stem,
        duration_s=seconds(total),
        language=_language(hearings),
        segments=tuple(segments),
        chunks=tuple(ChunkSpan(c.index, seconds(c.start), seconds(c.stop), c.windows) for c in chunks),
        coverage=_coverage(hearings, total),
        provenance=provenance,
        gaps=tuple(_gaps(hearings)),
        loud=tuple(_loud(hearings)),
        warnings=tuple(warnings),
    )


def _transcript(hearing: Hearing) -> list[Segment]:
    """The segments of one channel in source seconds, ascending, with what two windows heard told once."""
    told: list[Segment] = []
    reach = 0
    for heard in sorted(hearing.heard, key=lambda heard: heard.window.start):
        if heard.reply is None:
            continue
        coming = _in_source(heard.reply, heard.window)
        if heard.window.start < reach:
            start_s, stop_s = seconds(heard.window.start), seconds(reach)
            tail = next((at for at in range(len(told), 0, -1) if told[at - 1].end_s < start_s - SEAM_S), 0)
            told[tail:], coming = _seam(told[tail:], coming, start_s, stop_s)
        told += coming
        reach = heard.window.stop
    return _ascending(told)


def _in_source(reply: Reply, window: Window) -> list[Segment]:
    """Lead a reply's segments and words from the window's clip back to the source; one segment where it tells none."""
    map_ = TimeMap(window.pieces)
    whole = (Segment(0.0, seconds(window.length), reply.text.strip()),) if reply.text.strip() else ()
    found = []
    for segment in chain.from_iterable(_apart(one, map_) for one in reply.segments or whole):
        words = tuple(_placed(word, map_) for word in segment.words)
        start_s, end_s = (words[0].start_s, words[-1].end_s) if words else _span_in_source(map_, segment)
        unreliable = segment.unreliable or reply.unreliable
        found.append(replace(segment, start_s=start_s, end_s=end_s, words=words, unreliable=unreliable))
    return found


def has_long_silence(window: Window) -> bool:
    """Whether so much was taken out inside a window that only its words can tell where a segment stands."""
    return any(_is_long(before, after) for before, after in pairwise(window.pieces))


def _is_long(before: Span, after: Span) -> bool:
    return after.start - before.stop >= APART_S * RATE


def _apart(segment: Segment, map_: TimeMap) -> list[Segment]:
    """A segment in the clip's time, cut where long silence was taken out between its words; whole without words."""
    parts, join = [segment], 0
    for piece, following in pairwise(map_.spans if segment.words else ()):
        join += piece.length
        if _is_long(piece, following):
            words = parts[-1].words
            count = sum(_middle_s(word) < join / RATE for word in words)
            parts[-1:] = [*_numbered(parts[-1:], 0, count), *_numbered(parts[-1:], count, len(words))]
    return parts


def _placed(word: Word, map_: TimeMap) -> Word:
    start_s, end_s = _span_in_source(map_, word)
    return replace(word, start_s=start_s, end_s=end_s)


def _span_in_source(map_: TimeMap, said: Segment | Word) -> tuple[float, float]:
    """Source seconds of what was said in a stretch of the clip.

    A stretch that only touches the padding on the far side of removed silence is drawn back to its own side: else a
    subtitle would stand through the whole silence before or after its words.
    """
    start, stop = round(said.start_s * RATE), round(said.end_s * RATE)
    snap, joins = round(JOIN_SNAP_S * RATE), list(accumulate(piece.length for piece in map_.spans[:-1]))
    start = next((join for join in joins if 0 <= join - start <= snap and stop - join > join - start), start)
    stop = next((join for join in reversed(joins) if 0 <= stop - join <= snap and join - start > stop - join), stop)
    return seconds(map_.to_source(start)), seconds(map_.to_source(max(stop, start), end=stop > start))


def _seam(
    told: Sequence[Segment], coming: Sequence[Segment], start_s: float, stop_s: float
) -> tuple[list[Segment], list[Segment]]:
    """Cut two tellings of the same stretch where they agree, so that each word is kept from one side only.

    Where they agree on nothing the stretch is halved between them; where only one of them tells anything of it, that
    one is believed.
    """
    left = [word for segment in told for word in _words(segment)]
    right = [word for segment in coming for word in _words(segment)]
    stop, start = _agreement(left, right) or _halves(left, right, start_s, stop_s)
    return list(_numbered(told, 0, stop)), list(_numbered(coming, start, len(right)))


def _agreement(left: Sequence[Word], right: Sequence[Word]) -> tuple[int, int] | None:
    """How many words to keep of the left, and how many to leave out of the right; None where no word agrees.

    The run of equal words that is longest, each pair counting by how near in time its two mentions are, is cut in its
    middle: the words at the edges of a window are those that are misheard.
    """
    weights: dict[tuple[int, int], float] = {}
    for (a, said), (b, again) in product(enumerate(left), enumerate(right)):
        apart_s = abs(_middle_s(said) - _middle_s(again))
        if apart_s <= SEAM_S and (plain := _plain(said)) and plain == _plain(again):
            weights[a, b] = weights.get((a - 1, b - 1), 0.0) + 1 - apart_s / SEAM_S
    if not weights:
        return None
    last, length = max(weights, key=lambda pair: weights[pair]), 1
    while (last[0] - length, last[1] - length) in weights:
        length += 1
    return last[0] + 1 - length // 2, last[1] + 1 - length // 2


def _halves(left: Sequence[Word], right: Sequence[Word], start_s: float, stop_s: float) -> tuple[int, int]:
    """The same counts without agreement: by time."""
    after = sum(_middle_s(word) > start_s for word in left)
    before = sum(_middle_s(word) < stop_s for word in right)
    if not after or not before:
        return len(left), 0
    middle_s = (start_s + stop_s) / 2
    return sum(_middle_s(word) < middle_s for word in left), sum(_middle_s(word) < middle_s for word in right)


def _numbered(segments: Iterable[Segment], start: int, stop: int) -> Iterator[Segment]:
    """Of the words of all segments, counted through, those from `start` up to but not including `stop`."""
    for segment in segments:
        words = list(_words(segment))
        kept = words[max(start, 0) : max(stop, 0)]
        if len(kept) == len(words):
            yield segment
        elif kept:
            text = "".join(word.text for word in kept).strip()
            times = tuple(kept) if segment.words else ()
            yield replace(segment, start_s=kept[0].start_s, end_s=kept[-1].end_s, text=text, words=times)
        start, stop = start - len(words), stop - len(words)


def _words(segment: Segment) -> Iterator[Word]:
    """The words of a segment; where it has no times for them, they share its time by their letters."""
    if segment.words:
        yield from segment.words
        return
    texts = SAID.findall(segment.text)
    letters = sum(len(text) for text in texts)
    at_s, span_s = segment.start_s, segment.end_s - segment.start_s
    for text in texts:
        end_s = round(at_s + span_s * len(text) / letters, 3)
        yield Word(at_s, end_s, text)
        at_s = end_s


def _middle_s(word: Word) -> float:
    return (word.start_s + word.end_s) / 2


def _plain(word: Word) -> str:
    """A word as it compares: letters and digits only, folded."""
    return "".join(sign for sign in word.text.casefold() if sign.isalnum())


def _ascending(segments: Sequence[Segment]) -> list[Segment]:
    """Draw times together where one reaches into the next: they never run backwards, the order of telling stays."""
    starts = list(accumulate((segment.start_s for segment in segments), max))
    limits = [*starts, float("inf")][1:]
    return [
        _within(segment, start_s, max(min(segment.end_s, limit_s), start_s))
        for segment, start_s, limit_s in zip(segments, starts, limits, strict=True)
    ]


def _within(segment: Segment, start_s: float, end_s: float) -> Segment:
    words = tuple(
        replace(word, start_s=min(max(word.start_s, start_s), end_s), end_s=min(max(word.end_s, start_s), end_s))
        for word in segment.words
    )
    return replace(segment, start_s=start_s, end_s=end_s, words=words)


def _language(hearings: Sequence[Hearing]) -> str | None:
    """The language of most of the audio."""
    heard: Counter[str] = Counter()
    for hearing in hearings:
        for one in hearing.heard:
            if one.reply and one.reply.language and one.reply.text:
                heard[one.reply.language] += one.window.length
    return heard.most_common(1)[0][0] if heard else None


def _coverage(hearings: Sequence[Hearing], total: int) -> Coverage:
    """Account for every sample of the source once. The seconds sum up to the duration exactly."""
    marks: list[tuple[int, int, int]] = []
    for hearing in hearings:
        for span, kind in _kinds(hearing):
            rank = KINDS.index(kind)
            marks += [(span.start, 1, rank), (span.stop, -1, rank)]
    sums, open_, before = dict.fromkeys(KINDS, 0), [0] * len(KINDS), 0
    for position, change, rank in [*sorted(marks), (total, 0, 0)]:
        kind = next((KINDS[at] for at, count in enumerate(open_) if count), "silence")
        sums[kind] += position - before
        before = position
        open_[rank] += change
    shares, position = {}, 0
    for kind, count in sums.items():
        shares[f"{kind}_s"] = round(seconds(position + count) - seconds(position), 3)
        position += count
    return Coverage(**shares)


def _kinds(hearing: Hearing) -> Iterator[tuple[Span, str]]:
    """What was made of each stretch of the source; what is not named was silent."""
    for heard in hearing.heard:
        if heard.reply is None:
            kind = "failed"
        elif heard.reply.unreliable:
            kind = "unreliable"
        else:
            kind = "transcribed" if heard.reply.text.strip() else "event"
        for piece in heard.window.pieces:
            yield piece, kind
    for span in hearing.speech.loud:
        yield span, "event"


def _gaps(hearings: Sequence[Hearing]) -> Iterator[Gap]:
    """What was not heard, and why."""
    failed = [heard for hearing in hearings for heard in hearing.heard if heard.reply is None]
    for heard in sorted(failed, key=lambda heard: heard.window.start):
        yield Gap(seconds(heard.window.start), seconds(heard.window.stop), heard.failure or "not heard")


def _loud(hearings: Sequence[Hearing]) -> Iterator[Gap]:
    """What was loud and is not in the transcript, by whose word."""
    found = []
    for hearing in hearings:
        found += [(span, "loud, but not taken for speech") for span in hearing.speech.loud]
        for heard in hearing.heard:
            if heard.reply is not None and not heard.reply.text.strip():
                found += [(piece, "the model heard no words") for piece in heard.window.pieces]
    for span, reason in sorted(found):
        yield Gap(seconds(span.start), seconds(span.stop), reason)
