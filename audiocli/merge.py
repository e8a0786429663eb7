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
from difflib import SequenceMatcher

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
SEAM_S = 1.5
"""Two mentions of one word at a seam are no further apart than this."""


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
    segments.sort(key=lambda segment: (segment.start_s, segment.end_s))
    failures = [heard for hearing in hearings for heard in hearing.heard if heard.failure]
    return Document(
        source=job.source,
        stem=job.stem,
        duration_s=seconds(total),
        language=_language(hearings),
        segments=tuple(segments),
        chunks=tuple(ChunkSpan(c.index, seconds(c.start), seconds(c.stop), c.windows) for c in chunks),
        coverage=_coverage(hearings, total),
        provenance=provenance,
        gaps=tuple(
            Gap(seconds(heard.window.start), seconds(heard.window.stop), str(heard.failure)) for heard in failures
        ),
        loud=tuple(_loud(hearings)),
        warnings=tuple(warnings),
    )


def _transcript(hearing: Hearing) -> list[Segment]:
    """The segments of one channel in source seconds, ascending, with the overlaps of windows told once."""
    told: list[Segment] = []
    for heard in sorted(hearing.heard, key=lambda heard: heard.window.start):
        if heard.reply is None:
            continue
        coming = [_in_source(segment, heard) for segment in heard.reply.segments]
        if heard.window.overlap and told:
            told, coming = _seam(told, coming, heard.window)
        told += coming
    return _ascending(told)


def _in_source(segment: Segment, heard: Heard) -> Segment:
    """Lead a segment and its words from the window's clip back to the source."""
    map_ = TimeMap(heard.window.pieces)
    words = tuple(
        replace(word, start_s=start_s, end_s=end_s)
        for word in segment.words
        for start_s, end_s in [_span_in_source(map_, word.start_s, word.end_s)]
    )
    start_s, end_s = _span_in_source(map_, segment.start_s, segment.end_s)
    if words:
        start_s, end_s = words[0].start_s, words[-1].end_s
    unreliable = segment.unreliable or (heard.reply.unreliable if heard.reply else None)
    return replace(segment, start_s=start_s, end_s=end_s, words=words, unreliable=unreliable)


def _span_in_source(map_: TimeMap, start_s: float, end_s: float) -> tuple[float, float]:
    """Source seconds of a stretch of the clip.

    A stretch that only touches the padding on the far side of removed silence is drawn back to its own side: else a
    subtitle would stand through the whole silence before or after its words.
    """
    start, stop = round(start_s * RATE), round(end_s * RATE)
    snap, joins, position = round(JOIN_SNAP_S * RATE), [], 0
    for piece in map_.spans[:-1]:
        position += piece.length
        joins.append(position)
    start = next((join for join in joins if 0 <= join - start <= snap and stop - join > join - start), start)
    stop = next((join for join in reversed(joins) if 0 <= stop - join <= snap and join - start > stop - join), stop)
    return seconds(map_.to_source(start)), seconds(map_.to_source(max(stop, start), end=stop > start))


def _seam(told: list[Segment], coming: list[Segment], window: Window) -> tuple[list[Segment], list[Segment]]:
    """Cut two tellings of the same stretch where they agree, so that each word is kept from one side only."""
    start_s, stop_s = seconds(window.start), _overlap_end_s(window)
    left = [word for segment in told for word in _words(segment) if word.end_s > start_s - SEAM_S]
    right = [word for segment in coming for word in _words(segment) if word.start_s < stop_s + SEAM_S]
    left_end_s, right_start_s = _agree(left, right, (start_s + stop_s) / 2)
    kept = [part for segment in told if (part := _part(segment, until_s=left_end_s))]
    return kept, [part for segment in coming if (part := _part(segment, from_s=right_start_s))]


def _overlap_end_s(window: Window) -> float:
    return seconds(TimeMap(window.pieces).to_source(window.overlap, end=True))


def _agree(left: Sequence[Word], right: Sequence[Word], middle_s: float) -> tuple[float, float]:
    """Middle of the last word to take from the left and of the first from the right.

    The longest run of words that both tell at about the same time decides; without one, the middle of the overlap.
    """
    matcher = SequenceMatcher(None, [_plain(word) for word in left], [_plain(word) for word in right], autojunk=False)
    runs = [
        block
        for block in matcher.get_matching_blocks()
        if block.size
        and any(_plain(word) for word in left[block.a : block.a + block.size])
        and abs(_middle_s(left[block.a]) - _middle_s(right[block.b])) <= SEAM_S
    ]
    if not runs:
        return middle_s, middle_s
    best = max(runs, key=lambda block: block.size)
    half = (best.size - 1) // 2
    last, after = left[best.a + half], best.b + half + 1
    first_s = _middle_s(right[after]) if after < len(right) else _middle_s(right[after - 1]) + SEAM_S * 2
    return _middle_s(last), first_s


def _part(segment: Segment, *, from_s: float = float("-inf"), until_s: float = float("inf")) -> Segment | None:
    """The words of a segment whose middle lies in a stretch; None when there are none."""
    words = list(_words(segment))
    kept = [word for word in words if from_s <= _middle_s(word) <= until_s]
    if len(kept) == len(words):
        return segment
    if not kept:
        return None
    text = "".join(word.text for word in kept).strip()
    return replace(
        segment, start_s=kept[0].start_s, end_s=kept[-1].end_s, text=text, words=tuple(kept) if segment.words else ()
    )


def _words(segment: Segment) -> Iterator[Word]:
    """The words of a segment; where it has no times for them, they share its time by their letters."""
    if segment.words:
        yield from segment.words
        return
    texts = re.findall(r"\s*\S+", segment.text)
    letters = sum(len(text) for text in texts)
    at_s, span_s = segment.start_s, segment.end_s - segment.start_s
    for number, text in enumerate(texts):
        end_s = round(at_s + span_s * len(text) / letters, 3)
        yield Word(at_s, end_s, text if number or text.startswith(" ") else f" {text}")
        at_s = end_s


def _middle_s(word: Word) -> float:
    return (word.start_s + word.end_s) / 2


def _plain(word: Word) -> str:
    """A word as it compares: letters and digits only, folded."""
    return "".join(sign for sign in word.text.casefold() if sign.isalnum())


def _ascending(segments: Sequence[Segment]) -> list[Segment]:
    """Draw back what reaches into the next segment, so that times of one speaker never run backwards."""
    ordered = sorted(segments, key=lambda segment: (segment.start_s, segment.end_s))
    result = []
    for segment, following in zip(ordered, [*ordered[1:], None], strict=True):
        if following and segment.end_s > following.start_s:
            segment = _clipped(segment, following.start_s)
        result.append(segment)
    return result


def _clipped(segment: Segment, end_s: float) -> Segment:
    words = tuple(
        replace(word, start_s=min(word.start_s, end_s), end_s=min(word.end_s, end_s)) for word in segment.words
    )
    return replace(segment, end_s=max(end_s, segment.start_s), words=words)


def _language(hearings: Sequence[Hearing]) -> str | None:
    """The language of most of the audio."""
    heard: Counter[str] = Counter()
    for hearing in hearings:
        for one in hearing.heard:
            if one.reply and one.reply.language and one.reply.text:
                heard[one.reply.language] += one.window.length
    return heard.most_common(1)[0][0] if heard else None


KINDS = ("failed", "unreliable", "transcribed", "event", "silence")
"""What a second can be, the graver first: where channels differ, the graver counts."""


def _coverage(hearings: Sequence[Hearing], total: int) -> Coverage:
    """Account for every sample of the source once. The seconds sum up to the duration exactly."""
    marks: list[tuple[int, int, int]] = []
    for hearing in hearings:
        for span, kind in _kinds(hearing):
            rank = KINDS.index(kind)
            marks += [(min(span.start, total), 1, rank), (min(span.stop, total), -1, rank)]
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
