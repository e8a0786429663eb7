"""What `audiocli.densest` promises: the densest talk within the budget, in whole phrases, the same every time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocli.densest import JOIN_S, MARGIN_S, choose
from audiocli.records import RATE, Span, Speech
from audiocli.road import Road, survey

SAMPLES = Path(__file__).parents[1] / "samples"
quick = settings(max_examples=100, deadline=None)


def samples(time_s):
    return round(time_s * RATE)


def speech(*spans_s, total_s):
    return Speech(tuple(Span(samples(start), samples(stop)) for start, stop in spans_s), samples(total_s))


def phrases(start_s, stop_s, pause_s=0.3, phrase_s=2.7):
    """Talk at a steady pace: spans in seconds."""
    count = int((stop_s - start_s + pause_s) / (phrase_s + pause_s))
    return [
        (start_s + at * (phrase_s + pause_s), start_s + at * (phrase_s + pause_s) + phrase_s) for at in range(count)
    ]


def chosen_s(spans):
    return [(span.start / RATE, span.stop / RATE) for span in spans]


def length_s(spans):
    return sum(span.length for span in spans) / RATE


def inside(span, spans):
    return any(one.start <= span.start and span.stop <= one.stop for one in spans)


def outside(span, spans):
    return all(one.stop <= span.start or span.stop <= one.start for one in spans)


@st.composite
def surveys(draw):
    """Speech in phrases of any length, with pauses of none to half a minute between them."""
    pauses = st.one_of(st.just(0), st.integers(1, 1500), st.integers(1500, 30_000))
    steps = draw(st.lists(st.tuples(pauses, st.integers(30, 15_000)), max_size=60))
    spans, at = [], 0
    for pause, length in steps:
        start = at + pause * RATE // 1000
        at = start + length * RATE // 1000
        spans.append(Span(start, at))
    return Speech(tuple(spans), at + draw(st.integers(0, 20_000)) * RATE // 1000)


budgets = st.one_of(st.integers(0, 20_000), st.integers(0, 600_000)).map(lambda time_ms: time_ms * RATE // 1000)


@quick
@given(surveys(), budgets)
def test_the_choice_is_within_the_budget_ascending_apart_and_cuts_no_phrase(found, budget):
    chosen = choose(found, budget)
    assert all(0 <= span.start < span.stop <= found.total for span in chosen)
    assert all(before.stop < after.start for before, after in pairwise(chosen))
    assert all(inside(span, chosen) or outside(span, chosen) for span in found.spans)
    if chosen != (Span(0, found.total),):
        assert sum(span.length for span in chosen) <= budget


@quick
@given(surveys(), budgets)
def test_nothing_is_chosen_that_is_all_silence(found, budget):
    for span in choose(found, budget):
        assert not found.spans or any(inside(one, [span]) for one in found.spans)


@quick
@given(surveys(), budgets)
def test_the_same_survey_gives_the_same_choice(found, budget):
    assert choose(found, budget) == choose(replace(found, spans=tuple(found.spans)), budget)


@quick
@given(surveys())
def test_what_fits_is_heard_whole(found):
    assert choose(found, found.total) == ((Span(0, found.total),) if found.total else ())


@quick
@given(surveys(), budgets)
def test_nothing_is_chosen_only_where_not_even_the_shortest_phrase_fits(found, budget):
    shortest = min((span.length for span in found.spans), default=0)
    if found.spans and not choose(found, budget):
        assert shortest + 2 * max(MARGIN_S, JOIN_S / 2) * RATE > budget


@quick
@given(surveys(), budgets)
def test_no_phrase_that_would_continue_what_is_chosen_could_still_be_added(found, budget):
    """A phrase and its share of the pauses around it is no longer than the phrase with both pauses whole."""
    chosen = choose(found, budget)
    left = budget - sum(span.length for span in chosen)
    for before, after in pairwise(found.spans):
        if after.start - before.stop > JOIN_S * RATE or inside(before, chosen) == inside(after, chosen):
            continue
        out = after if inside(before, chosen) else before
        assert out.length + 2 * samples(max(JOIN_S / 2, MARGIN_S)) > left


def test_the_dense_minute_is_found_among_sparse_talk():
    sparse = [(at, at + 3.0) for at in range(0, 600, 12)]
    dense = phrases(240, 300)
    spans = sorted([span for span in sparse if span[1] < 239 or span[0] > 301] + dense)
    ((start_s, stop_s),) = chosen_s(choose(speech(*spans, total_s=610), samples(61)))
    assert 239 <= start_s <= 240 and 299 <= stop_s <= 301


def test_a_single_shout_does_not_beat_a_long_conversation():
    """Alone it is all speech; the conversation has pauses."""
    spans = [(5.0, 8.0), *phrases(60, 180, pause_s=0.6)]
    ((start_s, stop_s),) = chosen_s(choose(speech(*spans, total_s=240), samples(60)))
    assert start_s >= 60 - MARGIN_S and stop_s <= 180 + MARGIN_S and stop_s - start_s > 55


def test_of_two_that_are_as_dense_the_earlier_is_heard():
    spans = [*phrases(100, 130), *phrases(200, 230)]
    ((start_s, stop_s),) = chosen_s(choose(speech(*spans, total_s=330), samples(31)))
    assert 99 < start_s < stop_s < 131


def test_denser_talk_is_taken_before_earlier_talk():
    spans = [*phrases(100, 130, pause_s=0.8), *phrases(200, 230, pause_s=0.3)]
    ((start_s, _),) = chosen_s(choose(speech(*spans, total_s=330), samples(31)))
    assert start_s > 199


@pytest.mark.parametrize("budget_s", [30, 60, 600, 1200])
def test_of_an_hour_of_even_talk_the_budget_is_used_up_to_a_phrase(budget_s):
    chosen = choose(speech(*phrases(0, 3600), total_s=3600), samples(budget_s))
    assert budget_s - 3.1 < length_s(chosen) <= budget_s


def test_a_short_budget_takes_a_phrase_out_of_long_talk():
    ((start_s, stop_s),) = chosen_s(choose(speech(*phrases(10, 200), total_s=300), samples(4)))
    assert 2.7 < stop_s - start_s <= 4


def test_soft_edges_of_talk_are_chosen_with_it():
    chosen = choose(speech((10, 20), (50, 60), total_s=100), samples(11))
    assert chosen_s(chosen) == [(10 - MARGIN_S, 20 + MARGIN_S)]


def test_a_pause_between_two_phrases_is_shared_by_them():
    spans = [(0.0, 6.0), (7.0, 13.0)]
    assert chosen_s(choose(speech(*spans, total_s=14), samples(6.5))) == [(0.0, 6.5)]


def test_long_silence_costs_nothing_of_the_budget():
    spans = [(10, 20), (500, 510), (900, 910)]
    assert chosen_s(choose(speech(*spans, total_s=1000), samples(32))) == [(0, 1000)]
    assert len(choose(speech(*spans, total_s=1000), samples(22))) == 2


def test_speech_that_runs_to_both_ends_of_the_recording_stays_inside_it():
    found = speech((0, 5), (8, 13), total_s=13)
    assert chosen_s(choose(found, samples(5.5))) == [(0, 5.3)]
    assert chosen_s(choose(speech((0, 6), (8, 13), total_s=13), samples(5.5))) == [(7.7, 13)]


@pytest.mark.parametrize("found", [Speech((), 0), Speech((), 99), Speech((Span(0, 9),), 9)])
def test_no_budget_and_no_speech_are_no_error(found):
    assert choose(found, 0) == ((Span(0, found.total),) if not found.spans and found.total else ())


# ------------------------------------------------------------------------------------------- on real recordings


def heard_s(path, only):
    road = Road(path, channel=None, detector="webrtc", window_s=30.0, only=only)
    return sum(window.length - window.overlap for window, _ in road) / RATE


@pytest.mark.parametrize("name", ["meeting.mp3", "lecture.m4a", "call.ogg", "rain.wav"])
@pytest.mark.parametrize("budget_s", [20, 60])
def test_what_the_road_hears_of_a_choice_is_close_to_the_budget_and_never_beyond(name, budget_s):
    path = SAMPLES / name
    found = survey(path, None, detector="webrtc")
    heard = heard_s(path, choose(found, samples(budget_s)))
    assert min(0.65 * budget_s, 0.95 * found.total / RATE) < heard <= budget_s


def test_a_minute_of_a_recording_with_long_silences_holds_all_that_is_said():
    """Six remarks, half a minute of talk in two minutes."""
    path = SAMPLES / "pauses.flac"
    found = survey(path, None, detector="webrtc")
    assert choose(found, samples(60)) == (Span(0, found.total),)
    assert heard_s(path, choose(found, samples(60))) == pytest.approx(heard_s(path, None))
    assert heard_s(path, choose(found, samples(60))) < 35


def test_less_than_all_that_is_said_gives_whole_remarks():
    path = SAMPLES / "pauses.flac"
    found = survey(path, None, detector="webrtc")
    chosen = choose(found, samples(12))
    assert [inside(span, chosen) for span in found.spans].count(True) == len(chosen) == 2
    assert 10 < heard_s(path, chosen) <= 12


def test_a_minute_of_lecture_is_found_between_remarks(tmp_path):
    """The densest minute of a recording: a lecture that begins and ends amid silences."""
    remarks, _ = soundfile.read(SAMPLES / "pauses.flac", dtype="float32")
    lecture = np.concatenate(
        [clip for _, clip in Road(SAMPLES / "lecture.m4a", channel=None, detector="off", window_s=30.0)]
    )[: samples(60)]
    soundfile.write(tmp_path / "both.wav", np.concatenate([remarks, lecture, remarks]), RATE)
    chosen = choose(survey(tmp_path / "both.wav", None, detector="webrtc"), samples(60))
    start, stop = len(remarks), len(remarks) + len(lecture)
    found = sum(max(min(span.stop, stop) - max(span.start, start), 0) for span in chosen)
    assert found / RATE > 50
    assert 55 < heard_s(tmp_path / "both.wav", chosen) <= 60
