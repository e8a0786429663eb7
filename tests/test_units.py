"""What `audiocli.units` promises: every window in one unit, in order, and no unit too much for the model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiocli.engines import Limits
from audiocli.records import RATE, Span, Window
from audiocli.units import Packer
from audiocli.windows import CHUNK_S


def window(index, start_s, length_s, overlap_s=0.0):
    """A window and its clip, whose samples say where in the source they are from."""
    start, length = round(start_s * RATE), round(length_s * RATE)
    clip = np.arange(start, start + length, dtype=np.float32)
    return Window(index, (Span(start, start + length),), round(overlap_s * RATE)), clip


def packed(limits, windows):
    packer = Packer(limits)
    units = [unit for one in windows for unit in packer.push(*one)]
    return [*units, *packer.close()]


def steady(count, length_s=30.0, every_s=30.0):
    return [window(index, index * every_s, length_s) for index in range(count)]


def test_a_model_of_one_short_clip_gets_window_by_window():
    units = packed(Limits(window_s=30.0), steady(3))
    assert [[one.index for one in unit.windows] for unit in units] == [[0], [1], [2]]
    assert all(len(unit.clips) == 1 for unit in units)


def test_a_model_of_several_clips_gets_so_many():
    units = packed(Limits(window_s=30.0, clips_per_request=4), steady(6))
    assert [len(unit.clips) for unit in units] == [4, 2]


def test_a_model_that_hears_long_gets_one_clip_of_a_whole_chunk():
    units = packed(Limits(window_s=300.0), steady(12))
    assert [len(unit.windows) for unit in units] == [10, 2]
    assert [len(unit.clips) for unit in units] == [1, 1]
    assert len(units[0].clips[0]) == 300 * RATE


def test_long_silence_between_windows_ends_a_unit():
    """Its times would reach over more than is reported as one."""
    units = packed(Limits(window_s=300.0), steady(4, length_s=10.0, every_s=200.0))
    assert [len(unit.windows) for unit in units] == [2, 2]


def test_what_two_windows_both_heard_is_in_a_joined_clip_once():
    first, second = window(0, 0.0, 30.0), window(1, 28.0, 30.0, overlap_s=2.0)
    (unit,) = packed(Limits(window_s=300.0), [first, second])
    assert np.array_equal(unit.clips[0], np.arange(58 * RATE, dtype=np.float32))


def test_nothing_in_nothing_out():
    assert packed(Limits(window_s=30.0), []) == []


@given(
    st.lists(st.tuples(st.floats(0.5, 30.0), st.floats(0.0, 120.0)), max_size=25),
    st.sampled_from([(30.0, 1), (30.0, 3), (30.0, 10), (120.0, 1), (300.0, 1)]),
)
def test_every_window_is_in_one_unit_and_no_unit_is_too_much(lengths, taken):
    window_s, clips = taken
    at_s, windows = 0.0, []
    for index, (length_s, pause_s) in enumerate(lengths):
        windows.append(window(index, at_s, length_s))
        at_s += length_s + pause_s
    units = packed(Limits(window_s=window_s, clips_per_request=clips), windows)
    assert [one.index for unit in units for one in unit.windows] == list(range(len(windows)))
    for unit in units:
        assert len(unit.clips) <= clips
        assert all(len(clip) <= window_s * RATE + 1 for clip in unit.clips)
        assert len(unit.windows) == 1 or unit.stop - unit.start <= CHUNK_S * RATE


@pytest.mark.parametrize("clips", [1, 5])
def test_a_unit_says_where_it_lies(clips):
    (unit,) = packed(Limits(window_s=60.0, clips_per_request=clips), [window(3, 12.0, 8.0), window(4, 40.0, 2.0)])
    assert (unit.start, unit.stop) == (12 * RATE, 42 * RATE)
