"""What `audiocli.timemap` promises: a position in stripped audio and its place in the source are the same sample."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocli.records import Span
from audiocli.timemap import TimeMap

quick = settings(max_examples=200, deadline=None)


@st.composite
def spans(draw, least=1):
    """Ascending spans, some of which touch."""
    steps = draw(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=least, max_size=12))
    ends = list(accumulate(step for gap_and_length in steps for step in gap_and_length))
    return [Span(start, stop) for start, stop in zip(ends[::2], ends[1::2], strict=True)]


def kept(given_spans):
    """Every source sample that was kept, in order: what the map is to be measured against."""
    return [sample for span in given_spans for sample in range(span.start, span.stop)]


@quick
@given(spans())
def test_each_stripped_sample_leads_to_the_one_it_was_cut_from_and_back(given_spans):
    map_, samples = TimeMap(given_spans), kept(given_spans)
    assert map_.length == len(samples)
    assert [map_.to_source(position) for position in range(map_.length)] == samples
    assert [map_.to_stripped(sample) for sample in samples] == list(range(map_.length))


@quick
@given(spans())
def test_a_stretch_of_one_span_keeps_its_length_in_the_source(given_spans):
    map_, position = TimeMap(given_spans), 0
    for span in given_spans:
        assert map_.to_source(position) == span.start
        assert map_.to_source(position + span.length, end=True) == span.stop
        position += span.length


@quick
@given(spans(), st.booleans())
def test_later_in_one_is_later_in_the_other(given_spans, end):
    map_ = TimeMap(given_spans)
    there = [map_.to_source(position, end=end) for position in range(-2, map_.length + 3)]
    back = [map_.to_stripped(sample) for sample in range(-2, given_spans[-1].stop + 3)]
    assert there == sorted(there)
    assert back == sorted(back)


@quick
@given(spans(), st.integers(-1000, 2000), st.booleans())
def test_positions_outside_are_drawn_to_the_nearest_end(given_spans, position, end):
    map_ = TimeMap(given_spans)
    assert given_spans[0].start <= map_.to_source(position, end=end) <= given_spans[-1].stop
    assert 0 <= map_.to_stripped(position) <= map_.length
    assert map_.to_source(-1) == given_spans[0].start
    assert map_.to_source(map_.length + 1) == given_spans[-1].stop


@quick
@given(spans(least=2))
def test_what_was_taken_out_leads_to_the_join_it_left(given_spans):
    map_ = TimeMap(given_spans)
    joins = list(accumulate(span.length for span in given_spans))
    for (before, after), join in zip(pairwise(given_spans), joins, strict=False):
        assert {map_.to_stripped(sample) for sample in range(before.stop, after.start + 1)} == {join}


def test_at_a_join_an_end_stays_before_the_pause_and_a_start_waits_behind_it():
    map_ = TimeMap([Span(100, 200), Span(900, 1000)])
    assert map_.to_source(100, end=True) == 200
    assert map_.to_source(100) == 900


def test_at_the_very_start_an_end_has_no_span_before_it():
    assert TimeMap([Span(100, 200)]).to_source(0, end=True) == 100


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param([Span(0, 10), Span(9, 20)], id="overlapping"),
        pytest.param([Span(10, 20), Span(0, 5)], id="descending"),
        pytest.param([Span(0, 10), Span(0, 10)], id="twice"),
        pytest.param([Span(5, 5)], id="empty"),
        pytest.param([Span(0, 10), Span(20, 15)], id="reversed"),
    ],
)
def test_spans_that_no_recording_can_give_are_refused(wrong):
    with pytest.raises(ValueError, match="spans must"):
        TimeMap(wrong)


def test_a_map_of_nothing_is_empty_and_leads_nowhere():
    map_ = TimeMap([])
    assert (map_.length, map_.spans, map_.to_stripped(7)) == (0, (), 0)
    with pytest.raises(ValueError, match="nothing was kept"):
        map_.to_source(0)


def test_a_day_of_audio_is_still_exact():
    day = 24 * 3600 * 16_000
    map_ = TimeMap([Span(day - 10, day), Span(2 * day, 2 * day + 10)])
    assert [map_.to_source(position) for position in (9, 10, 19)] == [day - 1, 2 * day, 2 * day + 9]
