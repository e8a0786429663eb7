"""Stage beside the road: what to hear of a recording where only so many minutes of it are wanted.

In goes what was marked as speech in the whole recording, out come the spans of the source to hear: stretches of talk,
densest first until the budget is spent, told in their order. Positions are samples of the source. Knows no audio, no
files, no windows, and not how pauses were found.

The budget counts what a model hears: speech and the short pauses in it. Long silence costs nothing, for it is taken
out before any model; who asks for ten minutes of a podcast wants ten minutes of talk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import chain, pairwise

from audiocli.records import RATE, Span, Speech
from audiocli.timemap import TimeMap

JOIN_S = 1.0
"""A pause up to this belongs to the talk around it and is heard with it: the road takes out none that is shorter."""
MARGIN_S = 0.3
"""Heard on either side of talk where the pause is longer: as much as the road pads speech with."""
LONGEST_S = 60.0
"""Talk is weighed and taken minute by minute: ten or more choices in the usual budget, each a train of thought."""
SHORTEST_S = 10.0
"""No talk is cut into shorter stretches only to spend the budget: half sentences out of nowhere tell little."""
AROUND_S = 15.0
"""How much on either side of a stretch counts for its density."""
STEPS = 20
"""Densities are told apart by a twentieth: finer differences are those between two breaths, and would make a patchwork
of even talk, which is better heard in one go."""


@dataclass(frozen=True, slots=True, order=True)
class _Stretch:
    """A run of the recording's speech spans. They sort as they are taken: densest first, then earliest."""

    thinness: int
    """What density lacks of 1, in `STEPS`."""
    first: int
    last: int
    """Indices of the spans; `last` included."""


def choose(speech: Speech, budget: int) -> tuple[Span, ...]:
    """The densest talk of a recording, so that a long one can be heard in part.

    speech: spans as fine as pauses can be told, for only between them may be cut (`audiocli.road.survey`).
    budget: samples to be heard, at most.
    Returns spans of the source, ascending and apart, no longer than the budget together. They hold each span of speech
    whole or not at all, and pauses up to `JOIN_S` in between. Where all of the speech fits that is the whole recording:
    its silence was not left out to save anything. () where not even the shortest span fits, and for an empty recording.
    """
    talk = _Talk(speech)
    choice = _Choice(talk, budget)
    queue = [part for whole in talk.stretches() for part in talk.parts(whole)]
    heapify(queue)
    left_out = []
    while queue:
        stretch = heappop(queue)
        if choice.take(stretch):
            continue
        halves = talk.halves(stretch)
        if halves and (not choice.held or min(map(talk.length, halves)) >= SHORTEST_S * RATE):
            for half in halves:
                heappush(queue, half)
        else:
            choice.extend(stretch)
            left_out.append(stretch)
    for stretch in left_out:
        choice.extend(stretch)
    return tuple(talk.joined(choice.held))


class _Choice:
    """What was chosen so far."""

    def __init__(self, talk: _Talk, budget: int) -> None:
        self._talk = talk
        self._room = budget
        self.held: set[int] = set()
        """Indices of spans."""

    def take(self, stretch: _Stretch) -> bool:
        """Take it whole if it fits."""
        length = self._talk.length(stretch)
        if length > self._room:
            return False
        self.held |= {*range(stretch.first, stretch.last + 1)}
        self._room -= length
        return True

    def extend(self, stretch: _Stretch) -> None:
        """Of what does not fit whole, take the phrases that go on from where something was taken, either way."""
        onwards = range(stretch.first, stretch.last + 1)
        for order, taken in ((onwards, -1), (onwards[::-1], 1)):
            for at in order:
                if at in self.held:
                    continue
                if at + taken not in self.held or not self._talk.goes_on(at, at + taken):
                    break
                if not self.take(self._talk.stretch(at, at)):
                    break


class _Talk:
    """The speech of one recording, and where it may be cut.

    Density is the share of speech in a stretch and in the `AROUND_S` before and behind it: a moving average. Of the
    stretch alone it would be highest for a single shout, which is all speech; with its neighbourhood a remark in
    silence weighs little, and minutes inside a long conversation weigh most and are taken together.
    """

    def __init__(self, speech: Speech) -> None:
        self._spans, self._total = speech.spans, speech.total
        self._edges = tuple(_widened(speech.spans, speech.total))
        self._before = TimeMap(speech.spans)

    def stretches(self) -> Iterator[_Stretch]:
        """Talk without long pauses; their widened spans touch."""
        first = 0
        for at in range(1, len(self._spans) + 1):
            if at == len(self._spans) or self._edges[at - 1].stop < self._edges[at].start:
                yield self.stretch(first, at - 1)
                first = at

    def parts(self, stretch: _Stretch) -> Iterator[_Stretch]:
        """A stretch, halved in its pauses until no part is longer than `LONGEST_S`."""
        halves = self.halves(stretch) if self.length(stretch) > LONGEST_S * RATE else ()
        if not halves:
            yield stretch
        yield from chain.from_iterable(map(self.parts, halves))

    def halves(self, stretch: _Stretch) -> tuple[_Stretch, ...]:
        """Two parts, cut in the longest pause that leaves neither much smaller; () for a single span."""
        start, length = self._edges[stretch.first].start, self.length(stretch)
        least = max(length / 4, min(SHORTEST_S * RATE, length / 2))

        def fitness(at: int) -> tuple[bool, int]:
            place = self._edges[at].start - start
            return least <= place <= length - least, self._spans[at].start - self._spans[at - 1].stop

        cuts = range(stretch.first + 1, stretch.last + 1)
        if not cuts:
            return ()
        at = max(cuts, key=fitness)
        return self.stretch(stretch.first, at - 1), self.stretch(at, stretch.last)

    def length(self, stretch: _Stretch) -> int:
        """Samples that are heard of it."""
        return self._edges[stretch.last].stop - self._edges[stretch.first].start

    def goes_on(self, one: int, other: int) -> bool:
        """Whether no long pause is between two neighbours."""
        first, second = sorted((one, other))
        return self._edges[first].stop == self._edges[second].start

    def joined(self, held: set[int]) -> list[Span]:
        """What these spans make of the source; neighbours without a long pause between them are one."""
        if len(held) == len(self._spans):
            return [Span(0, self._total)] if self._total else []
        found: list[Span] = []
        for edge in (self._edges[at] for at in sorted(held)):
            start = found.pop().start if found and found[-1].stop == edge.start else edge.start
            found.append(Span(start, edge.stop))
        return found

    def stretch(self, first: int, last: int) -> _Stretch:
        """The spans from one index to another, weighed."""
        around = round(AROUND_S * RATE)
        start = max(self._edges[first].start - around, 0)
        stop = min(self._edges[last].stop + around, self._total)
        said = self._before.to_stripped(stop) - self._before.to_stripped(start)
        return _Stretch(STEPS - round(STEPS * said / (stop - start)), first, last)


def _widened(spans: Sequence[Span], total: int) -> Iterator[Span]:
    """Each span with its part of the pauses beside it: the half of a short one, `MARGIN_S` of a long one."""
    starts, stops = [max(span.start - round(MARGIN_S * RATE), 0) for span in spans], []
    for at, (before, after) in enumerate(pairwise(spans), start=1):
        if after.start - before.stop <= JOIN_S * RATE:
            starts[at] = (before.stop + after.start) // 2
            stops.append(starts[at])
        else:
            stops.append(before.stop + round(MARGIN_S * RATE))
    stops += [min(span.stop + round(MARGIN_S * RATE), total) for span in spans[-1:]]
    return map(Span, starts, stops)
