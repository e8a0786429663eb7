"""Measured facts for reading: `Facts` come in, rows of a label and a value with its unit go out.

One table, which the Markdown page and the text show alike; how a row is set is known by each format's writer. What was
not measured has no row. Neither labels nor values hold a character that Markdown takes for markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiocli.writers.said import clock

if TYPE_CHECKING:
    from audiocli.records import Facts


def facts_rows(facts: Facts) -> tuple[tuple[str, str], ...]:
    """(label, value) of everything that was measured, what is said first and how it sounds after it."""
    rows = (
        ("Speech", f"{clock(facts.speech_s)} ({facts.speech_share:.0%} of the recording)"),
        ("Pace", _with_unit(facts.words_per_minute, "words per minute", digits=0)),
        ("Pauses", _pauses(facts)),
        ("Pitch", _pitch(facts)),
        ("Loudness", _with_unit(facts.loudness_lufs, "LUFS")),
        ("Peak", _with_unit(facts.peak_dbfs, "dBFS")),
        ("Clipped", f"{facts.clipped_s:.2f} s" if facts.clipped_s >= 0.005 else "nothing"),
        ("Noise floor", _with_unit(facts.noise_floor_dbfs, "dBFS")),
        ("Speech over noise", _with_unit(facts.snr_db, "dB")),
    )
    return tuple((label, value) for label, value in rows if value is not None)


def _pauses(facts: Facts) -> str | None:
    if not facts.speech_s:
        return None
    return f"{facts.pauses}, the longest {facts.longest_pause_s:.1f} s" if facts.pauses else "none"


def _pitch(facts: Facts) -> str | None:
    """The middle first, and between which values four fifths of the voiced sound lie."""
    median = _with_unit(facts.pitch_median_hz, "Hz", digits=0)
    if median is None or facts.pitch_low_hz is None or facts.pitch_high_hz is None:
        return median
    return f"{median}, mostly {facts.pitch_low_hz:.0f} to {facts.pitch_high_hz:.0f} Hz"


def _with_unit(value: float | None, unit: str, *, digits: int = 1) -> str | None:
    """A typographic minus: a hyphen would be the mark of a list where the value opens a line."""
    if value is None:
        return None
    shown = f"{value:.{digits}f}"
    shown = shown.removeprefix("-") if not float(shown) else shown.replace("-", "−")
    return f"{shown} {unit}"
