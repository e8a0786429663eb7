"""Third stage: what the model hears at once, and how a long recording is told in chunks.

In go `Stretch`es of frames worth hearing, out come Windows: pieces of the source put end to end, packed close to the
model's limit, cut where somebody paused. Chunks are runs of those windows. Positions are source samples. Nothing here
touches audio, and nothing waits for the end of the file: a window leaves as soon as the next one cannot get too short.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audiocli.records import RATE, Chunk, Span, Window

CHUNK_S = 300.0
"""Five minutes: what is summarized and reported as one."""
CHUNK_OVERLAP_S = 30.0
"""What two neighbouring chunks both hold."""


@dataclass(frozen=True, slots=True)
class CutRules:
    """Where a window may end. Times in seconds."""

    earliest: float = 0.5
    """Part of the limit that a window fills at least, if a later one follows."""
    pause_s: float = 0.2
    """A quiet stretch so long is a pause, and words are whole on both sides."""
    longest_s: float = 1.5
    """Longer pauses are no better to cut at than this."""
    pause_weight: float = 0.3
    """What part of a full window a longest pause is worth: packing tight against cutting between sentences."""
    quiet_db: float = 25.0
    """So far below the loud tenth of its neighbourhood a frame counts as quiet, voiced or not."""
    overlap_s: float = 2.0
    """Heard by both sides when there is no pause to cut at."""
    tail_s: float = 6.0
    """The last window of a recording is no shorter, if that can be had: models invent words over scraps."""


class Planner:
    """Packs frames into windows while they arrive.

    limit_s: what the model hears at once. frame: samples a frame. rules: where to cut.
    """

    def __init__(self, limit_s: float, frame: int, rules: CutRules | None = None) -> None:
        self._rules = rules or CutRules()
        self._frame = frame
        self._limit = int(limit_s * RATE) // frame
        self._tail = round(self._rules.tail_s * RATE / frame)
        self._share = min(round(self._rules.overlap_s * RATE / frame), self._limit // 4)
        self._overlap = 0
        self._count = 0
        self._index = np.zeros(0, np.int64)
        self._voiced = np.zeros(0, bool)
        self._level_db = np.zeros(0, np.float32)
        if self._limit < 2:
            raise ValueError(f"a window of {limit_s} s holds less than two frames of {frame} samples")

    @property
    def held(self) -> tuple[Span, ...]:
        """What of the source pushed so far a coming window may still ask for."""
        return _pieces(self._index, self._frame, None)

    def push(self, start: int, voiced: npt.NDArray[np.bool_], level_db: npt.NDArray[np.float32]) -> Iterator[Window]:
        """start: index of the first frame; voiced, level_db: (n,). Yields the windows settled by it."""
        self._index = np.concatenate([self._index, np.arange(start, start + len(voiced))])
        self._voiced = np.concatenate([self._voiced, voiced])
        self._level_db = np.concatenate([self._level_db, level_db])
        while len(self._index) > self._limit + self._tail:
            yield self._cut(self._limit)

    def close(self, total: int) -> Iterator[Window]:
        """The recording ends at sample `total`. What is left goes out in as few windows as hold it, none a scrap."""
        while len(self._index) > self._limit:
            left = len(self._index)
            yield self._cut(min(self._limit, left - min(self._tail, left // 2)))
        if len(self._index) > self._overlap:
            yield self._window(len(self._index), total)

    def _cut(self, latest: int) -> Window:
        """Ends the window at the best place up to frame `latest`; what lies behind starts the next one."""
        earliest = max(int(self._rules.earliest * latest), self._overlap + 1)
        at = self._pause(earliest, latest)
        shared = 0
        if at is None:
            at = self._quietest(max(latest - latest // 4, earliest), latest)
            shared = self._share
        window = self._window(at, None)
        keep = at - shared
        self._index, self._voiced, self._level_db = self._index[keep:], self._voiced[keep:], self._level_db[keep:]
        self._overlap = at - keep
        return window

    def _pause(self, earliest: int, latest: int) -> int | None:
        """The frame before which to cut: late, and in a long pause. None where nobody paused."""
        near_db = self._level_db[: self._limit + self._tail]  # what else has come already must not matter
        quiet = ~self._voiced | (self._level_db < np.percentile(near_db, 90) - self._rules.quiet_db)
        best, best_score = None, 0.0
        for start, stop in _runs(quiet[: latest + 1]):
            at, pause_s = self._middle(start, min(stop, latest), earliest)
            if not earliest <= at <= min(stop, latest) or pause_s < self._rules.pause_s:
                continue
            score = at / latest + self._rules.pause_weight * min(pause_s / self._rules.longest_s, 1.0)
            if score > best_score:
                best, best_score = at, score
        return best

    def _middle(self, start: int, stop: int, earliest: int) -> tuple[int, float]:
        """Where to cut a quiet run that reaches beyond frame `earliest`, and the run's length in seconds.

        At the silence taken out of it, else in its middle.
        """
        steps = np.diff(self._index[start : stop + 1]) - 1
        first = max(start + 1, min(earliest, stop))
        removed = steps[first - start - 1 :]
        at = first + int(removed.argmax()) if removed.any() else max((start + stop + 1) // 2, first)
        return at, (stop - start + int(steps.sum())) * self._frame / RATE

    def _quietest(self, earliest: int, latest: int) -> int:
        """The frame where a fifth of a second is quietest: speech has no pause here, or it is not speech."""
        around = max(round(0.2 * RATE / self._frame), 1)
        smooth = np.convolve(self._level_db[: latest + around], np.ones(around) / around, mode="same")
        return earliest + int(smooth[earliest : latest + 1].argmin())

    def _window(self, stop: int, total: int | None) -> Window:
        pieces = _pieces(self._index[:stop], self._frame, total)
        window = Window(self._count, pieces, self._overlap * self._frame)
        self._count += 1
        return window


def chunk(
    windows: Sequence[Window], total: int, *, length_s: float = CHUNK_S, overlap_s: float = CHUNK_OVERLAP_S
) -> tuple[Chunk, ...]:
    """Lay chunks over a recording, so that each can be summarized with what was said just before and after its edge.

    total: samples of the source; 0 gives (). Returns chunks in source order, each `length_s` long and starting
    `overlap_s` before the previous one stops; the last ends with the recording and none lies wholly inside its
    neighbour. A chunk holds the windows that have speech in it, so neighbours share those in their overlap.
    Raises ValueError unless 0 <= overlap_s < length_s.
    """
    if not 0 <= overlap_s < length_s:
        raise ValueError(f"overlap {overlap_s} s must be shorter than a chunk of {length_s} s")
    length, overlap = round(length_s * RATE), round(overlap_s * RATE)
    starts = range(0, max(total - overlap, 1), length - overlap) if total else ()
    chunks = []
    for index, start in enumerate(starts):
        stop = min(start + length, total)
        held = tuple(
            window.index
            for window in windows
            if any(piece.start < stop and piece.stop > start for piece in window.pieces)
        )
        chunks.append(Chunk(index, start, stop, held))
    return tuple(chunks)


def split(window: Window, at: int, index: int, overlap: int = 0) -> tuple[Window, Window]:
    """Cut one window in two at sample `at` of its own stripped audio, so that each half can be asked again.

    index: number of the second half; the first keeps its own. overlap: samples before the cut that both hear.
    Raises ValueError unless 0 <= overlap < at < length.
    """
    if not 0 <= overlap < at < window.length:
        raise ValueError(f"cannot cut a window of {window.length} samples at {at} with an overlap of {overlap}")
    left = Window(window.index, _part(window.pieces, 0, at), min(window.overlap, at))
    return left, Window(index, _part(window.pieces, at - overlap, window.length), overlap)


def _part(pieces: Sequence[Span], start: int, stop: int) -> tuple[Span, ...]:
    """Pieces of what lies from `start` to `stop` in stripped samples."""
    found, position = [], 0
    for piece in pieces:
        first, last = max(start - position, 0), min(stop - position, piece.length)
        if first < last:
            found.append(Span(piece.start + first, piece.start + last))
        position += piece.length
    return tuple(found)


def _pieces(index: npt.NDArray[np.int64], frame: int, total: int | None) -> tuple[Span, ...]:
    """Runs of consecutive frames as spans of samples; the last frame may be cut short by the end of the recording."""
    if not len(index):
        return ()
    breaks = np.flatnonzero(np.diff(index) != 1) + 1
    spans = [Span(int(run[0]) * frame, (int(run[-1]) + 1) * frame) for run in np.split(index, breaks)]
    if total is not None and spans[-1].stop > total:
        spans[-1] = Span(spans[-1].start, total)
    return tuple(spans)


def _runs(flags: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Start and stop of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
