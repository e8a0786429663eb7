"""How subtitles are to look: limits that come in from the settings and go out to the writers that have a use for them.

It knows widths and seconds, and nothing of text. JSON, Markdown, text and TSV take a `Shape` too and leave it alone, so
that every writer is called in one way.
"""

from __future__ import annotations

from dataclasses import dataclass

from audiocli.errors import UsageError

MIN_LINE_WIDTH = 10
"""Columns; below it not even a speaker's initial and one wide character fit on a line."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Limits of one subtitle. The defaults are what broadcasters ask for: two lines of 42, up to seven seconds."""

    max_line_width: int = 42
    """Columns: East Asian wide characters take two, combining marks none."""
    max_line_count: int = 2
    max_cue_s: float = 7.0
    """A cue is never shown longer."""
    min_cue_s: float = 0.8
    """A shorter cue stays on into the pause behind it, as far as that reaches."""
    max_columns_per_s: float = 20.0
    """Reading speed: faster speech stays on as well, as far as the pause behind it reaches."""

    def __post_init__(self) -> None:
        if self.max_line_width < MIN_LINE_WIDTH:
            raise UsageError(f"a subtitle line needs at least {MIN_LINE_WIDTH} columns, not {self.max_line_width}")
        if self.max_line_count < 1:
            raise UsageError(f"a subtitle needs at least 1 line, not {self.max_line_count}")
        if not 0 <= self.min_cue_s <= self.max_cue_s or not 0.001 <= self.max_cue_s < float("inf"):
            raise UsageError(f"a subtitle cannot stay between {self.min_cue_s} s and {self.max_cue_s} s")
        if not self.max_columns_per_s > 0:
            raise UsageError(f"the reading speed must be above 0 columns per second, not {self.max_columns_per_s}")
