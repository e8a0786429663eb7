"""What `audiocli.windows` promises: all that was kept is heard, once, in windows a model can hear, cut at pauses."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocli.records import RATE, Span, Window
from audiocli.windows import CutRules, Planner, chunk, split

FRAME = RATE // 10
"""Frames of 0.1 s, so that a property can look at minutes."""
LIMIT_S = 30.0
LIMIT = round(LIMIT_S / 0.1)
RULES = CutRules()
quick = settings(max_examples=60, deadline=None)

# What a recording is made of: (kind, frames). "out" is silence that was taken out; as behind a detector, what is next
# to it is unvoiced padding.
runs = st.lists(
    st.one_of(
        st.tuples(st.just("voice"), st.integers(1, 60)),
        st.tuples(st.just("voice"), st.integers(100, 700)),
        st.tuples(st.just("pause"), st.integers(1, 12)),
        st.tuples(st.just("out"), st.integers(1, 400)),
    ),
    min_size=1,
    max_size=25,
)


def stretches(parts):
    """(index of the first frame, voiced, level_db) of each stretch between what was taken out."""
    found, at, start, flags = [], 0, 0, []
    for kind, count in [*parts, ("out", 1)]:
        if kind != "out":
            flags += [kind == "voice"] * count
            continue
        if flags:
            voiced = np.array([False] * 3 + flags + [False] * 3)
            found.append((start, voiced, np.where(voiced, -20.0, -60.0).astype(np.float32)))
            at = start + len(voiced)
        at, start, flags = at + count, at + count, []
    return found


def plan(given_stretches, limit_s=LIMIT_S, total=None):
    planner = Planner(limit_s, FRAME)
    windows = [window for stretch in given_stretches for window in planner.push(*stretch)]
    last, voiced, _ = given_stretches[-1] if given_stretches else (0, (), ())
    return windows + list(planner.close((last + len(voiced)) * FRAME if total is None else total))


def part(pieces, start, stop):
    """The source spans of what lies from `start` to `stop` in the clip of these pieces."""
    found = []
    for piece in pieces:
        first, last = max(start, 0), min(stop, piece.length)
        if first < last:
            found.append(Span(piece.start + first, piece.start + last))
        start, stop = start - piece.length, stop - piece.length
    return found


def joined(spans):
    """The same samples in the same order, in as few spans as can say so."""
    found = []
    for span in spans:
        if found and found[-1].stop == span.start:
            span = Span(found.pop().start, span.stop)
        found.append(span)
    return found


def heard_anew(windows):
    """What each window hears that the one before has not, put end to end."""
    return joined(span for window in windows for span in part(window.pieces, window.overlap, window.length))


def kept(given_stretches, total=None):
    spans = joined(Span(start * FRAME, (start + len(voiced)) * FRAME) for start, voiced, _ in given_stretches)
    return [*spans[:-1], Span(spans[-1].start, total)] if total is not None else spans


def frames_of(window):
    return [frame for piece in window.pieces for frame in range(piece.start // FRAME, -(-piece.stop // FRAME))]


def speech(seconds, seed, pauses=True):
    """Somebody who talks: sentences of 2 to 9 s, breaths between them, now and then a silence that was taken out."""
    rng, parts = np.random.default_rng(seed), []
    while sum(count for _, count in parts) < seconds * 10:
        parts.append(("voice", int(rng.integers(20, 90))))
        if pauses:
            parts.append(("out", 50) if rng.random() < 0.2 else ("pause", int(rng.integers(2, 10))))
    return stretches(parts)


@quick
@given(runs, st.integers(0, FRAME - 1))
def test_all_that_was_kept_is_heard_once_but_for_the_overlaps(parts, cut):
    given_stretches = stretches(parts)
    if not given_stretches:
        return
    total = kept(given_stretches)[-1].stop - cut
    assert heard_anew(plan(given_stretches, total=total)) == kept(given_stretches, total)


@quick
@given(runs)
def test_windows_are_numbered_hold_what_a_model_can_hear_and_their_pieces_lie_apart(parts):
    windows = plan(stretches(parts))
    assert [window.index for window in windows] == list(range(len(windows)))
    assert [window.start for window in windows] == sorted(window.start for window in windows)
    for window in windows:
        assert 0 < window.length <= LIMIT_S * RATE
        assert all(piece.length > 0 for piece in window.pieces)
        assert all(before.stop < after.start for before, after in pairwise(window.pieces))


@quick
@given(runs)
def test_an_overlap_is_what_the_window_before_heard_last(parts):
    windows = plan(stretches(parts))
    assert not windows or windows[0].overlap == 0
    for before, after in pairwise(windows):
        assert after.overlap < min(before.length, after.length)
        first = part(after.pieces, 0, after.overlap)
        assert first == part(before.pieces, before.length - after.overlap, before.length)


@quick
@given(runs)
def test_a_cut_lies_in_a_pause_and_only_where_there_is_none_do_windows_overlap(parts):
    given_stretches = stretches(parts)
    quiet = {start + at for start, voiced, _ in given_stretches for at in np.flatnonzero(~voiced).tolist()}
    pause = round(RULES.pause_s * RATE / FRAME)
    for before, after in pairwise(plan(given_stretches)):
        frames = frames_of(before)
        if not after.overlap:
            assert frames[-1] in quiet or after.start // FRAME in quiet
            continue
        reach = frames[max(LIMIT // 2, before.overlap // FRAME + 1) :]
        stretch_of_quiet = "".join("_" if frame in quiet else "x" for frame in reach)
        assert "_" * (pause + 1) not in stretch_of_quiet


@quick
@given(runs)
def test_the_last_window_is_no_scrap(parts):
    windows = plan(stretches(parts))
    if len(windows) > 1:
        assert windows[-1].length >= RULES.tail_s * RATE


@quick
@given(runs, st.integers(1, 500), st.integers(1, 500))
def test_windows_do_not_depend_on_how_the_frames_arrive(parts, one_size, other_size):
    def in_parts(size):
        return [
            (start + at, voiced[at : at + size], level_db[at : at + size])
            for start, voiced, level_db in stretches(parts)
            for at in range(0, len(voiced), size)
        ]

    assert plan(in_parts(one_size)) == plan(in_parts(other_size)) == plan(stretches(parts))


def test_a_cut_does_not_depend_on_how_loud_it_gets_later():
    rng = np.random.default_rng(0)
    murmur = np.where(np.arange(500) % 20 < 17, -45.0, -62.0) + rng.normal(0, 1, 500)
    level_db = np.concatenate([murmur, np.full(4000, -5.0)]).astype(np.float32)
    voiced = np.ones(len(level_db), bool)
    in_steps = [(at, voiced[at : at + 100], level_db[at : at + 100]) for at in range(0, len(voiced), 100)]
    assert plan([(0, voiced, level_db)]) == plan(in_steps)


@quick
@given(runs, st.integers(1, 300))
def test_what_a_coming_window_needs_is_held(parts, size):
    planner, held, came = Planner(LIMIT_S, FRAME), [(0, ())], []
    for start, voiced, level_db in stretches(parts):
        for at in range(0, len(voiced), size):
            came += [
                (len(held) - 1, window) for window in planner.push(start + at, voiced[at:][:size], level_db[at:][:size])
            ]
            held.append(((start + len(voiced[: at + size])) * FRAME, planner.held))
    came += [(len(held) - 1, window) for window in planner.close(held[-1][0])]
    for step, window in came:
        for pushed, spans in held[: step + 1]:
            there = {frame for span in spans for frame in range(span.start // FRAME, span.stop // FRAME)}
            assert there.issuperset(frame for frame in frames_of(window) if frame * FRAME < pushed)


@quick
@given(runs, st.floats(0.2, 12.0))
def test_models_of_any_hearing_are_served(parts, limit_s):
    given_stretches = stretches(parts)
    windows = plan(given_stretches, limit_s)
    assert heard_anew(windows) == kept(given_stretches)
    assert all(window.overlap < window.length <= limit_s * RATE for window in windows)


def test_windows_are_filled_well_where_people_pause():
    fills = []
    for seed in range(5):
        windows = plan(speech(1200, seed))
        assert not any(window.overlap for window in windows)
        fills += [window.length / (LIMIT_S * RATE) for window in windows[:-1]]
    assert np.mean(fills) > 0.8
    assert min(fills) >= 0.5


def test_speech_without_pauses_is_cut_late_and_two_seconds_are_heard_twice():
    windows = plan(speech(300, 0, pauses=False))
    assert {window.overlap for window in windows[1:]} == {round(RULES.overlap_s * RATE)}
    assert all(window.length >= 0.75 * LIMIT_S * RATE for window in windows[:-2])


def test_without_a_pause_the_cut_is_where_it_is_quietest():
    level_db = np.full(500, -20.0, np.float32)
    level_db[259:262] = -30.0
    first, second = plan([(0, np.ones(500, bool), level_db)])[:2]
    assert 259 * FRAME <= first.stop <= 262 * FRAME
    assert second.start == first.stop - RULES.overlap_s * RATE


def test_a_long_pause_is_worth_more_than_a_late_one():
    first, *_ = plan(stretches([("voice", 240), ("pause", 15), ("voice", 37), ("pause", 2), ("voice", 300)]))
    assert first.stop == (3 + 240 + 8) * FRAME


def test_a_pause_that_begins_too_early_is_cut_as_soon_as_the_window_is_half_full():
    first, second = plan(stretches([("voice", 37), ("pause", 120), ("voice", 400)]))[:2]
    assert (first.stop, second.overlap) == (LIMIT // 2 * FRAME, 0)


def test_where_silence_was_taken_out_nothing_of_it_is_in_either_window():
    first, second = plan(stretches([("voice", 250), ("out", 90), ("voice", 250)]))
    assert first.pieces == (Span(0, 256 * FRAME),)
    assert second.pieces == (Span(346 * FRAME, 602 * FRAME),)


def test_frames_that_are_voiced_but_far_below_the_rest_are_a_pause():
    level_db = np.full(500, -20.0, np.float32)
    level_db[270:274] = -50.0
    first, second = plan([(0, np.ones(500, bool), level_db)])
    assert 270 * FRAME < first.stop < 274 * FRAME
    assert second.overlap == 0


@pytest.mark.parametrize("beyond", [1, 5, 30, 59])
def test_a_late_pause_does_not_leave_a_scrap_at_the_end(beyond):
    before, last = plan(stretches([("voice", LIMIT - 20), ("pause", 10), ("voice", 4 + beyond)]))
    assert last.length >= RULES.tail_s * RATE
    assert before.length > last.length


def test_what_fits_is_one_window_and_nothing_is_none():
    assert plan(stretches([("voice", LIMIT - 6)])) == [Window(0, (Span(0, LIMIT * FRAME),))]
    assert plan([]) == []
    assert Planner(LIMIT_S, FRAME).held == ()


def test_a_limit_below_two_frames_is_refused():
    with pytest.raises(ValueError, match="less than two frames"):
        Planner(0.19, FRAME)


minutes = st.integers(1, 4000 * RATE)


@settings(max_examples=200, deadline=None)
@given(minutes, st.floats(1, 400), st.floats(0, 0.95))
def test_chunks_cover_the_recording_and_none_lies_inside_its_neighbour(total, length_s, part):
    overlap_s = length_s * part
    chunks = chunk((), total, length_s=length_s, overlap_s=overlap_s)
    assert [one.index for one in chunks] == list(range(len(chunks)))
    assert (chunks[0].start, chunks[-1].stop) == (0, total)
    assert all(0 < one.stop - one.start <= round(length_s * RATE) for one in chunks)
    for before, after in pairwise(chunks):
        assert before.start < after.start and before.stop < after.stop
        assert before.stop - after.start == round(overlap_s * RATE)


@pytest.mark.parametrize(
    ("total_s", "bounds"),
    [
        (0, []),
        (1, [(0, 1)]),
        (300, [(0, 300)]),
        (301, [(0, 300), (270, 301)]),
        (570, [(0, 300), (270, 570)]),
        (571, [(0, 300), (270, 570), (540, 571)]),
        (840, [(0, 300), (270, 570), (540, 840)]),
    ],
)
def test_chunks_are_five_minutes_and_share_half_a_minute(total_s, bounds):
    chunks = chunk((), total_s * RATE)
    assert [(one.start / RATE, one.stop / RATE) for one in chunks] == bounds


@quick
@given(st.lists(runs, min_size=1, max_size=6))
def test_a_chunk_holds_the_windows_with_speech_in_it_and_every_window_is_in_one(parts):
    given_stretches = stretches([one for some in parts for one in some])
    windows = plan(given_stretches)
    total = kept(given_stretches)[-1].stop + 77 if given_stretches else 77
    chunks = chunk(windows, total, length_s=60, overlap_s=6)
    for one in chunks:
        inside = range(one.start // FRAME, -(-one.stop // FRAME))
        speaks = [window.index for window in windows if any(frame in inside for frame in frames_of(window))]
        assert one.windows == tuple(speaks)
    assert {index for one in chunks for index in one.windows} == {window.index for window in windows}


@pytest.mark.parametrize("overlap_s", [-1.0, 300.0, 400.0])
def test_an_overlap_as_long_as_its_chunk_is_refused(overlap_s):
    with pytest.raises(ValueError, match="overlap"):
        chunk((), RATE, overlap_s=overlap_s)


@st.composite
def windows_to_split(draw):
    steps = draw(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=8))
    ends = list(accumulate(step for gap_and_length in steps for step in gap_and_length))
    pieces = tuple(Span(start, stop) for start, stop in zip(ends[::2], ends[1::2], strict=True))
    length = sum(piece.length for piece in pieces)
    return Window(7, pieces, draw(st.integers(0, length - 1)))


@settings(max_examples=200, deadline=None)
@given(windows_to_split(), st.data())
def test_two_halves_hold_every_sample_of_the_whole(window, data):
    if window.length < 2:
        return
    at = data.draw(st.integers(1, window.length - 1))
    overlap = data.draw(st.integers(0, at - 1))
    left, right = split(window, at, 8, overlap)
    assert (left.index, right.index, right.overlap) == (7, 8, overlap)
    assert (left.length, right.length) == (at, window.length - at + overlap)
    assert joined([*left.pieces, *part(right.pieces, overlap, right.length)]) == joined(window.pieces)
    assert left.overlap == min(window.overlap, at)


@pytest.mark.parametrize(("at", "overlap"), [(0, 0), (100, 0), (-1, 0), (50, 50), (50, -1)])
def test_a_cut_that_leaves_a_half_empty_is_refused(at, overlap):
    with pytest.raises(ValueError, match="cannot cut"):
        split(Window(0, (Span(0, 100),)), at, 1, overlap)
