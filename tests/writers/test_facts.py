"""The table of measured facts: every figure with its unit, and nothing that was not measured."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from document_strategies import promise
from hypothesis import given
from hypothesis import strategies as st

from audiocli.records import Facts
from audiocli.writers.facts import facts_rows

MEASURED = Facts(
    speech_s=432.9,
    speech_share=0.9908,
    pauses=101,
    longest_pause_s=1.66,
    loudness_lufs=-25.37,
    peak_dbfs=-3.34,
    clipped_s=0.125,
    noise_floor_dbfs=-68.71,
    snr_db=44.19,
    pitch_low_hz=103.3,
    pitch_median_hz=160.2,
    pitch_high_hz=231.8,
    words_per_minute=142.4,
)
SILENT = Facts(speech_s=0.0, speech_share=0.0, pauses=0, longest_pause_s=0.0)


def test_every_figure_has_its_unit():
    assert facts_rows(MEASURED) == (
        ("Speech", "7:12 (99% of the recording)"),
        ("Pace", "142 words per minute"),
        ("Pauses", "101, the longest 1.7 s"),
        ("Pitch", "160 Hz, mostly 103 to 232 Hz"),
        ("Loudness", "−25.4 LUFS"),
        ("Peak", "−3.3 dBFS"),
        ("Clipped", "0.12 s"),
        ("Noise floor", "−68.7 dBFS"),
        ("Speech over noise", "44.2 dB"),
    )


def test_silence_has_only_what_can_be_said_of_silence():
    assert facts_rows(SILENT) == (("Speech", "0:00 (0% of the recording)"), ("Clipped", "nothing"))


def test_speech_without_a_pause_says_so():
    assert ("Pauses", "none") in facts_rows(replace(MEASURED, pauses=0, longest_pause_s=0.0))


@pytest.mark.parametrize("peak_dbfs", [0.0, -0.0, -0.04])
def test_zero_has_no_sign(peak_dbfs):
    assert ("Peak", "0.0 dBFS") in facts_rows(replace(MEASURED, peak_dbfs=peak_dbfs))


@promise
@given(st.sets(st.sampled_from([field.name for field in fields(Facts) if field.default is None])))
def test_what_was_not_measured_has_no_row(missing):
    rows = facts_rows(replace(MEASURED, **dict.fromkeys(missing)))
    assert not any("None" in value for _, value in rows)
    pitch = "pitch_median_hz" not in missing
    others = {"loudness_lufs", "peak_dbfs", "noise_floor_dbfs", "snr_db", "words_per_minute"} - missing
    assert len(rows) == 3 + pitch + len(others)
