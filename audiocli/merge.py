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
from operator import itemgetter

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
SENTENCE_END = re.compile(r"[.!?…。！？｡؟।][\"'”’»)\]」』）】]*$")
"""How the last word of a sentence ends. Full stops of abbreviations look the same: `SENTENCE_S` forgives them."""
SENTENCE_S = 1.0
"""A sentence that takes less, by its letters, is told with the next: no subtitle is read in less."""
PULL_S = 3.0
"""Removed silence is rather where a sentence ends than where the letters say, if that is no further away than this."""
PER_S, SPARE = 10, 40
"""Words or signs that a second of an overlap holds at most, and how many more on either side are aligned with them:
times shared out by letters are off by seconds, and by far more where silence was taken out."""
AMISS, ASTRAY, ASTRAY_S = 0.4, 0.3, 5.0
"""What an alignment loses by a word lost, invented or misheard, and by each second, up to so many, that either end lies
off that of the overlap; a word found once on either side gains 1. Chosen on synthetic seams with up to a third of their
words wrong; half or double of the first two changes little."""
KINDS = ("failed", "unreliable", "transcribed", "skipped", "event", "silence")
"""What a second can be, the graver first: where channels differ, the graver counts."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One window and what became of it: a reply, or the reason why there is none, or a prompt's answer elsewhere."""

    window: Window
    reply: Reply | None
    """Its transcript; None where that failed, or where none was asked for."""
    failure: str | None = None
    noted: bool = False
    """Heard by a prompt, whose answer stands elsewhere in the Document, and not to be transcribed. It counts as
    transcribed in the Coverage, which tells heard from not heard; a `reply` given along tells only of doubt."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """All that was heard of one channel, or of the mix of all."""

    speech: Speech
    heard: tuple[Heard, ...]
    channel: int | None = None
    only: tuple[Span, ...] | None = None
    """What was chosen to be heard, ascending and apart; None for everything."""


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
    reach, guessed_before = 0, False
    for heard in sorted(hearing.heard, key=lambda heard: heard.window.start):
        if heard.reply is None or heard.noted:
            continue
        coming = _in_source(heard.reply, heard.window)
        guessed = bool(coming) and not heard.reply.segments
        if heard.window.start < reach:
            start_s, stop_s = seconds(heard.window.start), seconds(reach)
            either = guessed or guessed_before
            tail = next((at for at in range(len(told), 0, -1) if told[at - 1].end_s < start_s - SEAM_S), 0)
            tail = max(len(told) - _most(start_s, stop_s), 0) if either else tail
            before, coming = _seam(told[tail:], coming, start_s, stop_s, guessed=either)
            if guessed and guessed_before:
                before, coming = _met(before, coming, start_s, stop_s)
            told[tail:] = before
        told += coming
        reach, guessed_before = heard.window.stop, guessed
    return _ascending(told)


def _in_source(reply: Reply, window: Window) -> list[Segment]:
    """Lead a reply's segments and words from the window's clip back to the source.

    A reply that tells no times is one segment a sentence; their times are estimates, by their share of the letters, and
    may be off by seconds. Such segments have no words, so that no word claims a time of its own.
    """
    map_ = TimeMap(window.pieces)
    found = []
    for segment in chain.from_iterable(_apart(one, map_) for one in reply.segments or _sentences(reply.text, map_)):
        words = tuple(_placed(word, map_) for word in segment.words)
        start_s, end_s = (words[0].start_s, words[-1].end_s) if words else _span_in_source(map_, segment)
        unreliable = segment.unreliable or reply.unreliable
        found.append(replace(segment, start_s=start_s, end_s=end_s, words=words, unreliable=unreliable))
    return found


def _sentences(text: str, map_: TimeMap) -> Iterator[Segment]:
    """Untimed text as sentences in the clip's time: they share it by their letters, and none goes on through silence.

    Where long silence was taken out the text is cut: at the end of a sentence if one is near by the letters' estimate,
    else between two words. What is said on either side shares the time of that side only.
    """
    words = SAID.findall(text.strip())
    breaks = [at for at in range(len(words) + 1) if _is_break(words[at - 1 : at], words[at : at + 1])]
    clip_s, joins_s = map_.length / RATE, list(_silences(map_))
    at_s = _shares(words, 0.0, clip_s)
    start, start_s = 0, 0.0
    for join_s in joins_s:
        off_s = [abs(one_s - join_s) - PULL_S * (at in breaks) for at, one_s in enumerate(at_s)]
        stop = min(range(start, len(at_s)), key=off_s.__getitem__)
        yield from _sentences_within(words[start:stop], [at - start for at in breaks], start_s, join_s)
        start, start_s = stop, join_s
    yield from _sentences_within(words[start:], [at - start for at in breaks], start_s, clip_s)


def _is_break(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether a sentence ends between two words; the ends of the text are such places too."""
    if not before or not after:
        return True
    return "\n" in after[0] or bool(SENTENCE_END.search(before[0]) and not after[0].strip()[0].islower())


def _silences(map_: TimeMap) -> Iterator[float]:
    """Where in the clip, in seconds, long silence was taken out."""
    join = 0
    for piece, following in pairwise(map_.spans):
        join += piece.length
        if _is_long(piece, following):
            yield join / RATE


def _shares(words: Sequence[str], start_s: float, end_s: float) -> list[float]:
    """Where each word starts, and the last one ends, if they share a stretch by their letters."""
    letters = list(accumulate(map(len, words), initial=0))
    return [start_s + (end_s - start_s) * count / (letters[-1] or 1) for count in letters]


def _sentences_within(words: Sequence[str], breaks: Iterable[int], start_s: float, end_s: float) -> Iterator[Segment]:
    """Segments of words that share a stretch; cut at breaks, but none shorter than `SENTENCE_S` if that can be had."""
    at_s = _shares(words, start_s, end_s)
    cuts = [0]
    for at in breaks:
        if 0 < at < len(words) and min(at_s[at] - at_s[cuts[-1]], end_s - at_s[at]) >= SENTENCE_S:
            cuts.append(at)
    for first, last in pairwise([*cuts, len(words)] if words else []):
        yield Segment(at_s[first], at_s[last], "".join(words[first:last]).strip())


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
    told: Sequence[Segment], coming: Sequence[Segment], start_s: float, stop_s: float, *, guessed: bool
) -> tuple[list[Segment], list[Segment]]:
    """Cut two tellings of the same stretch where they agree, so that each word is kept from one side only.

    guessed: the times of one of them at least are estimates. Where they agree on nothing the stretch is halved between
    them; where only one of them tells anything of it, that one is believed.
    """
    left = [word for segment in told for word in _words(segment)]
    right = [word for segment in coming for word in _words(segment)]
    agreed = _aligned(left, right, start_s, stop_s) if guessed else _agreement(left, right)
    stop, start = agreed or _halves(left, right, start_s, stop_s)
    return list(_numbered(told, 0, stop)), list(_numbered(coming, start, len(right)))


def _met(
    told: list[Segment], coming: list[Segment], start_s: float, stop_s: float
) -> tuple[list[Segment], list[Segment]]:
    """Both sides of a seam with estimated times, made to meet in the overlap, for there the words between them lie."""
    if not told or not coming:
        return told, coming
    meet_s = round(min(max((told[-1].end_s + coming[0].start_s) / 2, start_s), stop_s), 3)
    last, first = told[-1], coming[0]
    last = replace(last, start_s=min(last.start_s, meet_s), end_s=meet_s)
    first = replace(first, start_s=meet_s, end_s=max(first.end_s, meet_s))
    return [*told[:-1], last], [first, *coming[1:]]


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


def _aligned(left: Sequence[Word], right: Sequence[Word], start_s: float, stop_s: float) -> tuple[int, int] | None:
    """The same counts for words whose times are estimates: by the order of words, and by time only where that is open.

    What could lie in the overlap on either side is aligned whole (`_alignment`). Of the words that agree the longest
    run is cut in its middle, as where times are known.
    """
    most = _most(start_s, stop_s)
    skipped = max(len(left) - most, 0)
    pairs = _alignment(left[skipped:], right[:most], start_s, stop_s)
    if not pairs:
        return None
    runs: list[list[tuple[int, int]]] = []
    for a, b in pairs:
        if not runs or runs[-1][-1] != (a - 1, b - 1):
            runs.append([])
        runs[-1].append((a, b))
    longest = max(runs, key=len)
    a, b = longest[(len(longest) - 1) // 2]
    return skipped + a + 1, b + 1


def _most(start_s: float, stop_s: float) -> int:
    """Words that could lie in an overlap although their estimated times do not."""
    return round(PER_S * (stop_s - start_s)) + SPARE


def _alignment(
    tail: Sequence[Word], head: Sequence[Word], start_s: float, stop_s: float
) -> tuple[tuple[int, int], ...]:
    """Pairs of equal words in the best alignment of a tail's end with a head's beginning; none where none is worth it.

    An overlap alignment, as fragments of a genome are put together (Gusfield, Algorithms on Strings, Trees, and
    Sequences, 1997, section 11.6.4): the tail's first words and the head's last ones may stay outside, what is inside
    must be accounted for, word by word. A word counts by how rare it is on both sides, so that in "no no no" the times
    decide, and among other words their order.
    """
    said, again = [_plain(word) for word in tail], [_plain(word) for word in head]
    gains = {word: 1 / (said.count(word) * again.count(word)) for word in {*said} & {*again} if word}
    begins_s = [*(word.start_s for word in tail), tail[-1].end_s if tail else start_s]
    ends_s = [head[0].start_s if head else stop_s, *(word.end_s for word in head)]
    row: list[tuple[float, tuple[tuple[int, int], ...]]] = [(-_astray(at_s, start_s), ()) for at_s in begins_s]
    ends = [(row[-1][0] - _astray(ends_s[0], stop_s), row[-1][1])]
    for b, word in enumerate(again):
        above, row = row, [(row[0][0] - AMISS, row[0][1])]
        for a, one in enumerate(said):
            score, pairs = above[a]
            both = (score + gains[word], (*pairs, (a, b))) if word and word == one else (score - AMISS, pairs)
            alone = ((score - AMISS, pairs) for score, pairs in (above[a + 1], row[a]))
            row.append(max(both, *alone, key=itemgetter(0)))
        ends.append((row[-1][0] - _astray(ends_s[b + 1], stop_s), row[-1][1]))
    return max(ends, key=itemgetter(0))[1]


def _astray(at_s: float, edge_s: float) -> float:
    return ASTRAY * min(abs(at_s - edge_s), ASTRAY_S)


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
    at_s = [round(one_s, 3) for one_s in _shares(texts, segment.start_s, segment.end_s)]
    yield from map(Word, at_s, at_s[1:], texts)


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
        for piece in heard.window.pieces:
            yield piece, _kind(heard)
    for span in hearing.speech.loud:
        yield span, "event"
    for span in _left_out(hearing):
        yield span, "skipped"


def _kind(heard: Heard) -> str:
    """What became of a window. To be heard by a prompt is as good as to be written down."""
    if _failed(heard):
        return "failed"
    if heard.reply and heard.reply.unreliable:
        return "unreliable"
    return "transcribed" if heard.noted or (heard.reply and heard.reply.text.strip()) else "event"


def _failed(heard: Heard) -> bool:
    return heard.reply is None and not heard.noted


def _left_out(hearing: Hearing) -> Iterator[Span]:
    """What was not chosen to be heard."""
    total = hearing.speech.total
    chosen = (Span(0, total),) if hearing.only is None else hearing.only
    for before, after in pairwise([Span(0, 0), *chosen, Span(total, total)]):
        if before.stop < after.start:
            yield Span(before.stop, after.start)


def _gaps(hearings: Sequence[Hearing]) -> Iterator[Gap]:
    """What was not heard, and why."""
    failed = [heard for hearing in hearings for heard in hearing.heard if _failed(heard)]
    for heard in sorted(failed, key=lambda heard: heard.window.start):
        yield Gap(seconds(heard.window.start), seconds(heard.window.stop), heard.failure or "not heard")


def _loud(hearings: Sequence[Hearing]) -> Iterator[Gap]:
    """What was loud and is not in the transcript, by whose word; what was left out on purpose is not listed."""
    found = []
    for hearing in hearings:
        found += [(span, "loud, but not taken for speech") for span in _chosen(hearing.speech.loud, hearing.only)]
        for heard in hearing.heard:
            if heard.reply is not None and not heard.noted and not heard.reply.text.strip():
                found += [(piece, "the model heard no words") for piece in heard.window.pieces]
    for span, reason in sorted(found):
        yield Gap(seconds(span.start), seconds(span.stop), reason)


def _chosen(spans: Sequence[Span], only: Sequence[Span] | None) -> list[Span]:
    """Of some spans the parts that were chosen."""
    chosen = spans if only is None else only
    parts = (Span(max(one.start, of.start), min(one.stop, of.stop)) for one, of in product(spans, chosen))
    return [part for part in parts if part.length > 0]
