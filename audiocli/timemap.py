"""Ground: where a sample of stripped audio came from, and back.

In go spans of the source, out come positions; it knows nothing of speech, windows or audio. Stripped audio is those
spans put end to end, so a time the model gives must be led back through the same spans.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

from audiocli.records import Span


class TimeMap:
    """Leads positions in stripped audio back to the source, so that a subtitle fits the recording it was made from.

    spans: source samples, ascending, none empty or reaching into the next; an empty sequence maps nothing. Raises
    ValueError for others.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        for before, after in pairwise(spans):
            if after.start < before.stop:
                raise ValueError(f"spans must ascend and not overlap: {before} {after}")
        if any(span.length <= 0 for span in spans):
            raise ValueError("spans must not be empty")
        self.spans = tuple(spans)
        self._starts = [0, *accumulate(span.length for span in spans)]

    @property
    def length(self) -> int:
        """Samples of stripped audio."""
        return self._starts[-1]

    def to_source(self, position: int, *, end: bool = False) -> int:
        """Source sample of a stripped one; positions outside are drawn to the nearest end.

        end: the position closes a span rather than opens one. At a join it then stays with the speech before the
        pause, where the last word was said, instead of jumping over it.
        """
        if not self.spans:
            raise ValueError("nothing was kept, so no position maps to the source")
        position = min(max(position, 0), self.length)
        index = min(bisect_right(self._starts, position) - 1, len(self.spans) - 1)
        if end and index and position == self._starts[index]:
            index -= 1
        return self.spans[index].start + position - self._starts[index]

    def to_stripped(self, position: int) -> int:
        """Stripped sample of a source one; what was taken out maps to the join where it was."""
        index = bisect_right(self.spans, Span(position, 2**63)) - 1
        if index < 0:
            return 0
        span = self.spans[index]
        return self._starts[index] + min(position - span.start, span.length)
