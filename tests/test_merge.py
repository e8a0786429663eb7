"""What `audiocli.merge` promises: every word once, in order, at its own time, and every second accounted for."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from audiocli.merge import Heard, Hearing, assemble, has_long_silence
from audiocli.records import (
    RATE,
    Chunk,
    Coverage,
    Document,
    Gap,
    Job,
    Provenance,
    Reply,
    Segment,
    Span,
    Speech,
    Window,
    Word,
    seconds,
)
from audiocli.timemap import TimeMap
from audiocli.windows import Planner

JOB = Job("talk.wav", "talk")
MADE_BY = Provenance("0", "fake", "0", "fake", "transcribe")
FRAME = RATE // 100
PAD_S = 0.3
quick = settings(max_examples=50, deadline=None)


def samples(time_s):
    return round(time_s * RATE)


def document(*hearings, chunks=(), warnings=()):
    return assemble(JOB, hearings, chunks, MADE_BY, warnings)


def hearing_of(heard, total_s=60.0, loud=(), channel=None):
    spans = tuple(piece for one in heard for piece in one.window.pieces)
    return Hearing(Speech(spans, samples(total_s), tuple(loud)), tuple(heard), channel)


def window(*pieces_s, index=0, overlap_s=0.0):
    return Window(index, tuple(Span(samples(start), samples(stop)) for start, stop in pieces_s), samples(overlap_s))


def reply(*segments, **known):
    return Reply(" ".join(segment.text for segment in segments), tuple(segments), **known)


def spoken(start_s, text, word_s=0.3, step_s=0.4):
    """A segment with words at even steps, as an engine with word times gives it."""
    words = tuple(
        Word(round(start_s + number * step_s, 3), round(start_s + number * step_s + word_s, 3), f" {word}")
        for number, word in enumerate(text.split())
    )
    return Segment(words[0].start_s, words[-1].end_s, text, words)


def bare(segment):
    """The same without word times."""
    return replace(segment, words=())


# ---------------------------------------------------------------------------------------------- a truth to be told


@st.composite
def talks(draw):
    """A talk, and the windows a planner cuts it into: (words, windows, total samples).

    Phrases of distinct words, said without a pause and often longer than a window, with pauses between them that are
    kept or taken out. All edges lie on frames of 10 ms.
    """
    words, at = [], draw(st.integers(30, 300))
    for _ in range(draw(st.integers(1, 5))):
        for _ in range(draw(st.integers(1, 60))):
            length = draw(st.integers(15, 45))
            words.append(Word(at / 100, (at + length) / 100, f" w{len(words)}"))
            at += length
        at += draw(st.one_of(st.integers(20, 60), st.integers(110, 1500)))
    return tuple(words), windows_over(words, at, draw(st.sampled_from([8.0, 12.0]))), at * FRAME


def windows_over(words, frames, limit_s):
    voiced = np.zeros(frames, bool)
    for word in words:
        voiced[round(word.start_s * 100) : round(word.end_s * 100)] = True
    near = np.flatnonzero(voiced)
    kept = np.unique(np.clip(np.add.outer(near, np.arange(-30, 31)).ravel(), 0, frames - 1))
    planner, windows = Planner(limit_s, FRAME), []
    for run in np.split(kept, np.flatnonzero(np.diff(kept) > 1) + 1):
        windows += planner.push(int(run[0]), voiced[run], np.where(voiced[run], -20.0, -60.0).astype(np.float32))
    return [*windows, *planner.close(frames * FRAME)]


def whole_words(words, one):
    """The words that lie wholly inside one piece of a window, in its clip's time."""
    map_ = TimeMap(one.pieces)
    for word in words:
        start, stop = samples(word.start_s), samples(word.end_s)
        if any(piece.start <= start and stop <= piece.stop for piece in one.pieces):
            clip_start = map_.to_stripped(start)
            yield replace(word, start_s=seconds(clip_start), end_s=seconds(clip_start + stop - start))


def answer(words, one, with_words=True, longest=9):
    """What a model that mishears nothing says of a window: segments of a few words, broken at pauses."""
    runs = []
    for word in whole_words(words, one):
        if not runs or len(runs[-1]) == longest or word.start_s - runs[-1][-1].end_s > 0.15:
            runs.append([])
        runs[-1].append(word)
    segments = []
    for run in runs:
        text = "".join(word.text for word in run).strip()
        segments.append(Segment(run[0].start_s, run[-1].end_s, text, tuple(run) if with_words else ()))
    return reply(*segments, language="en")


def assert_times_are_sound(told: Document):
    for segment in told.segments:
        assert 0 <= segment.start_s <= segment.end_s <= told.duration_s
        times = [time for word in segment.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert not times or (segment.start_s <= times[0] and times[-1] <= segment.end_s)
    for before, after in pairwise(told.segments):
        assert before.end_s <= after.start_s


@quick
@given(talks(), st.booleans(), st.integers(1, 30))
def test_every_word_is_told_once_and_in_order(talk, with_words, longest):
    words, windows, total = talk
    heard = [Heard(one, answer(words, one, with_words, longest if with_words else min(longest, 9))) for one in windows]
    told = document(hearing_of(heard, total / RATE))
    assert told.text.split() == [word.text.strip() for word in words]
    assert_times_are_sound(told)


@quick
@given(talks())
def test_words_come_back_to_the_times_they_were_said_at(talk):
    words, windows, total = talk
    told = document(hearing_of([Heard(one, answer(words, one)) for one in windows], total / RATE))
    found = [word for segment in told.segments for word in segment.words]
    for said, word in zip(words, found, strict=True):
        assert (word.start_s, word.end_s) == pytest.approx((said.start_s, said.end_s), abs=0.002)


@quick
@given(talks(), st.integers(0, 2**32 - 1))
def test_errors_near_a_seam_never_tell_a_word_twice_and_lose_none_elsewhere(talk, seed):
    """Within an overlap either side drops, invents and mishears; words that only one window heard are told right."""
    words, windows, total = talk
    shared = Counter(word.text for one in windows for word in whole_words(words, one))
    rng = np.random.default_rng(seed)
    heard = [Heard(one, misheard(answer(words, one), shared, rng)) for one in windows]
    agreed = Counter(text for one in heard for segment in one.reply.segments for text in segment.text.split())
    for before, after in pairwise(heard):
        if after.window.overlap:
            both = set(before.reply.text.split()) & set(after.reply.text.split())
            assume(sum(agreed[text] > 1 for text in both) >= 2)
    told = document(hearing_of(heard, total / RATE))
    found = [text for text in told.text.split() if text.startswith("w")]
    assert found == sorted(set(found), key=lambda text: int(text[1:]))
    assert {word.text.strip() for word in words if shared[word.text] == 1} <= set(found)
    assert_times_are_sound(told)


def misheard(given_reply, shared, rng):
    segments = []
    for segment in given_reply.segments:
        words = []
        for word in segment.words:
            fate = rng.random() if shared[word.text] > 1 else 1.0
            if fate < 0.15:
                continue
            words.append(replace(word, text=f" x{rng.integers(1000)}") if fate < 0.3 else word)
            if fate > 0.9 and shared[word.text] > 1:
                words.append(Word(word.end_s, word.end_s, f" y{rng.integers(1000)}"))
        if words:
            text = "".join(word.text for word in words).strip()
            segments.append(Segment(words[0].start_s, words[-1].end_s, text, tuple(words)))
    return reply(*segments)


@quick
@given(talks(), st.data())
def test_a_window_that_failed_takes_no_word_of_its_neighbours_along(talk, data):
    words, windows, total = talk
    failed = data.draw(st.sets(st.sampled_from(windows)))
    heard = [
        Heard(one, None, "no memory") if one in failed else Heard(one, answer(words, one, data.draw(st.booleans())))
        for one in windows
    ]
    told = document(hearing_of(heard, total / RATE))
    due = {word.text.strip() for one in windows if one not in failed for word in whole_words(words, one)}
    assert told.text.split() == sorted(due, key=lambda text: int(text[1:]))
    assert [gap.start_s for gap in told.gaps] == [seconds(one.start) for one in windows if one in failed]


# --------------------------------------------------------------------------------------------------------- seams


def seam(left, right, left_s=(0, 20), right_s=(18, 38)):
    """The text of two windows that share two seconds. left, right: segments in source seconds."""
    moved = [
        replace(
            segment,
            start_s=segment.start_s - right_s[0],
            end_s=segment.end_s - right_s[0],
            words=tuple(
                replace(word, start_s=word.start_s - right_s[0], end_s=word.end_s - right_s[0])
                for word in segment.words
            ),
        )
        for segment in right
    ]
    before = Heard(window(left_s), reply(*left))
    after = Heard(window(right_s, index=1, overlap_s=left_s[1] - right_s[0]), reply(*moved))
    return document(hearing_of([before, after]))


def test_capitals_and_stops_do_not_hide_that_two_words_are_one():
    told = seam([spoken(17.6, "we go there now. And")], [spoken(18.0, "Go there, now and then")])
    assert told.text.casefold().replace(",", "").replace(".", "") == "we go there now and then"


def test_what_a_model_makes_of_the_edge_of_its_window_is_taken_from_the_other_side():
    """It ends the sentence where the audio ends, and begins one where the audio begins."""
    assert (
        seam([spoken(18.0, "and all went there.")], [spoken(18.4, "All went there to stay")]).text
        == "and all went there to stay"
    )


def test_words_told_late_by_one_side_are_still_the_same_words():
    """Several words that agree weigh more than one that happens to be told at the same time."""
    said = "so the cat and the dog ran"
    told = seam([spoken(17.2, said)], [spoken(18.4, said + " off")])
    assert told.text == said + " off"


def test_a_word_told_just_before_the_overlap_and_again_in_it_is_told_once():
    assert seam([spoken(17.4, "hello")], [spoken(18.05, "hello there")]).text == "hello there"


def test_the_same_word_at_another_time_is_no_agreement():
    left = spoken(15.0, "go a b c d e f g h i j k")  # to 19.7; "go" is said at 15.0 and at 19.3
    assert seam([left], [spoken(18.5, "x y go z")]).text == "go a b c d e f g h i y go z"


def test_where_nothing_agrees_each_side_tells_its_half_of_the_overlap():
    left = spoken(17.0, "a b c d e f g")  # the middles at 17.15, 17.55, …, 18.75, 19.15, 19.55
    right = spoken(18.1, "q r s t u v")
    assert seam([left], [right]).text == "a b c d e s t u v"


def test_what_only_the_window_before_told_of_the_overlap_stays():
    assert seam([spoken(17.6, "one two three four five")], [spoken(21.0, "six")]).text == "one two three four five six"


def test_what_only_the_window_after_told_of_the_overlap_stays():
    assert seam([spoken(10.0, "one")], [spoken(18.1, "two three four five")]).text == "one two three four five"


@pytest.mark.parametrize("step_s", [0.25, 0.4, 0.5])
def test_a_word_said_again_and_again_is_told_as_often_as_it_was_said(step_s):
    count = int(36 / step_s)
    every = spoken(0.5, " ".join(["no"] * count), 0.2, step_s)
    left = [word for word in every.words if word.end_s <= 20]
    right = [word for word in every.words if word.start_s >= 18]
    told = seam(*[[Segment(part[0].start_s, part[-1].end_s, "", tuple(part))] for part in (left, right)])
    assert sum(len(segment.words) for segment in told.segments) == count


def test_a_word_that_comes_back_later_is_not_mistaken_for_the_one_at_the_seam():
    told = seam(
        [spoken(16.0, "no it was the end of the day"), spoken(19.3, "so")], [spoken(18.9, "day so no it was fine")]
    )
    assert told.text == "no it was the end of the day so no it was fine"


def test_a_segment_cut_at_a_seam_keeps_the_times_of_the_words_it_keeps():
    told = seam([spoken(17.6, "a b c d e")], [spoken(18.0, "b c d e f")])
    first, second = told.segments
    assert first.text + " " + second.text == "a b c d e f"
    assert (first.start_s, first.end_s) == (first.words[0].start_s, first.words[-1].end_s)
    assert (second.start_s, second.end_s) == (second.words[0].start_s, second.words[-1].end_s)


def test_a_language_without_blanks_is_cut_between_its_signs():
    said = "今日はとても良い天気ですので散歩に行きましょう"
    left = Segment(15.0, 20.0, said[:20])
    right = Segment(18.0, 20.75, said[12:])
    assert seam([left], [right]).text.replace(" ", "") == said


def test_a_piece_that_both_halves_of_a_split_window_share_with_the_one_before_is_told_once():
    words = tuple(Word(at / 10, at / 10 + 0.3, f" w{at}") for at in range(0, 400, 4))
    windows = [window((0, 20)), window((18, 19.2), index=1, overlap_s=1.2), window((19.2, 38), index=2)]
    expected = [word.text.strip() for word in words if word.end_s <= 38]
    straddling = {word.text.strip() for word in words if word.start_s < 19.2 < word.end_s}
    told = document(hearing_of([Heard(one, answer(words, one)) for one in windows])).text.split()
    assert [text for text in told if text not in straddling] == [text for text in expected if text not in straddling]
    failed = [
        Heard(windows[0], answer(words, windows[0])),
        Heard(windows[1], None, "no"),
        Heard(windows[2], answer(words, windows[2])),
    ]
    assert document(hearing_of(failed)).text.split() == expected


def test_a_long_recording_is_merged_in_time_that_grows_with_its_length():
    def merge_time_s(count):
        heard = []
        for number in range(count):
            said = [
                spoken(at, " ".join(f"w{number * 18 + at + step * 0.2:.1f}" for step in range(10)), 0.15, 0.2)
                for at in range(0, 20, 2)
            ]
            heard.append(
                Heard(window((number * 18, number * 18 + 20), index=number, overlap_s=2 if number else 0), reply(*said))
            )
        hearing = hearing_of(heard, count * 18 + 2)
        start_s = time.process_time()
        told = document(hearing)
        assert len(told.text.split()) == count * 90 + 10
        return time.process_time() - start_s

    assert merge_time_s(400) < 3 * 10 * min(merge_time_s(40), merge_time_s(40))


# ------------------------------------------------------------------------------------------- joins and other times


@pytest.mark.parametrize("with_words", [True, False], ids=["words", "segments"])
@pytest.mark.parametrize(
    ("start_s", "end_s", "source"),
    [
        pytest.param(1.0, 5.2, (1.0, 5.0), id="ends in the padding behind"),
        pytest.param(4.8, 7.0, (105.0, 107.0), id="starts in the padding before"),
        pytest.param(1.0, 5.0, (1.0, 5.0), id="ends at the join"),
        pytest.param(5.0, 7.0, (105.0, 107.0), id="starts at the join"),
        pytest.param(3.0, 7.0, (3.0, 107.0), id="has words on both sides"),
        pytest.param(4.9, 5.4, (105.0, 105.4), id="short, mostly behind"),
        pytest.param(4.6, 5.1, (4.6, 5.0), id="short, mostly before"),
        pytest.param(8.0, 99.0, (108.0, 110.0), id="beyond the clip"),
    ],
)
def test_what_only_touches_the_padding_beyond_removed_silence_stays_on_its_side(start_s, end_s, source, with_words):
    words = (Word(start_s, end_s, " hm"),) if with_words else ()
    one = Heard(window((0, 5), (105, 110)), reply(Segment(start_s, end_s, "hm", words)))
    (segment,) = document(hearing_of([one], 120)).segments
    assert (segment.start_s, segment.end_s) == source


def test_a_segment_does_not_claim_the_long_silence_between_its_words():
    one = Heard(window((0, 2), (30, 32)), reply(spoken(1.0, "it rained. then we left", step_s=0.5)))
    told = document(hearing_of([one])).segments
    assert [(segment.text, segment.start_s, segment.end_s) for segment in told] == [
        ("it rained.", 1.0, 1.8),
        ("then we left", 30.0, 31.3),
    ]
    assert [len(segment.words) for segment in told] == [2, 3]


@pytest.mark.parametrize("said", [spoken(0.2, "all before"), spoken(2.2, "all behind")], ids=["before", "behind"])
def test_a_segment_with_all_its_words_on_one_side_of_silence_stays_whole(said):
    (segment,) = document(hearing_of([Heard(window((0, 2), (30, 32)), reply(said))])).segments
    assert segment.text == said.text


def test_a_short_pause_takes_no_segment_apart():
    one = Heard(window((0, 2), (3.5, 6)), reply(spoken(1.0, "it rained then we left", step_s=0.5)))
    assert [segment.text for segment in document(hearing_of([one])).segments] == ["it rained then we left"]
    assert not has_long_silence(one.window)
    assert has_long_silence(window((0, 2), (3, 4), (6, 8)))


def test_segments_that_reach_into_the_next_are_drawn_back():
    told = document(
        hearing_of([Heard(window((0, 20)), reply(Segment(1, 9, "a"), Segment(8, 10, "b"), Segment(7.5, 12, "c")))])
    )
    assert told.text == "a b c"
    assert [(segment.start_s, segment.end_s) for segment in told.segments] == [(1, 8), (8, 8), (8, 12)]


def test_a_reply_without_segments_is_one_segment_over_its_window():
    heard = [Heard(window((2, 9)), Reply(" I only write. ")), Heard(window((20, 24), index=1), Reply(" "))]
    (segment,) = document(hearing_of(heard)).segments
    assert (segment.text, segment.start_s, segment.end_s) == ("I only write.", 2.0, 9.0)


def test_doubt_about_a_reply_is_doubt_about_each_of_its_segments():
    doubted = reply(Segment(0, 1, "a"), Segment(1, 2, "b", unreliable="loops"), unreliable="low probability")
    told = document(hearing_of([Heard(window((0, 5)), doubted)]))
    assert [segment.unreliable for segment in told.segments] == ["low probability", "loops"]


def test_windows_may_be_answered_in_any_order():
    heard = [Heard(window((at, at + 9), index=at // 10), reply(spoken(1, f"word{at}"))) for at in (20, 0, 10)]
    assert document(hearing_of(heard)).text == "word0 word10 word20"


# --------------------------------------------------------------------------------------------------- accounting


KINDS = {
    "transcribed": Reply("words", (Segment(0, 0.001, "words"),)),
    "unreliable": Reply("words", (Segment(0, 0.001, "words"),), unreliable="loops"),
    "event": Reply(""),
    "failed": None,
}
GRAVER_FIRST = ["failed", "unreliable", "transcribed", "event", "silence"]
millisecond = RATE // 1000


@st.composite
def accounts(draw):
    """Hearings with windows of every kind, some overlapping, and the kind of each millisecond as a plain count."""
    total = draw(st.integers(1, 400))
    truth = np.full(total, GRAVER_FIRST.index("silence"))
    hearings = []
    for channel in range(draw(st.integers(1, 3))):
        heard, loud, marks = [], [], []
        for start, length, kind in draw(
            st.lists(st.tuples(st.integers(0, 399), st.integers(1, 90), st.sampled_from([*KINDS, "loud"])), max_size=8)
        ):
            span = Span(start * millisecond, min(start + length, total) * millisecond)
            if span.length <= 0:
                continue
            marks.append((start, start + length, "event" if kind == "loud" else kind))
            if kind == "loud":
                loud.append(span)
            else:
                heard.append(Heard(Window(len(heard), (span,)), KINDS[kind], "lost" if kind == "failed" else None))
        for start, stop, kind in marks:
            truth[start:stop] = np.minimum(truth[start:stop], GRAVER_FIRST.index(kind))
        hearings.append(Hearing(Speech((), total * millisecond, tuple(loud)), tuple(heard), channel))
    return hearings, {kind: int((truth == rank).sum()) for rank, kind in enumerate(GRAVER_FIRST)}


@settings(max_examples=200, deadline=None)
@given(accounts())
def test_every_second_is_accounted_for_once_and_by_its_gravest_kind(account):
    hearings, counts = account
    told = document(*hearings)
    covered = told.coverage
    parts = {kind: getattr(covered, f"{kind}_s") for kind in GRAVER_FIRST}
    assert parts == pytest.approx({kind: count / 1000 for kind, count in counts.items()}, abs=1e-9)
    assert round(sum(parts.values()), 3) == told.duration_s


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=12), st.integers(0, 5000))
def test_the_seconds_sum_up_to_the_duration_wherever_the_samples_lie(lengths, rest):
    heard, at = [], 0
    for number, length in enumerate(lengths):
        kind = list(KINDS)[number % len(KINDS)]
        heard.append(Heard(Window(number, (Span(at, at + length),)), KINDS[kind], "lost" if kind == "failed" else None))
        at += length + number
    told = document(Hearing(Speech((), at + rest), tuple(heard)))
    parts = [getattr(told.coverage, f"{kind}_s") for kind in GRAVER_FIRST]
    assert min(parts) >= 0
    assert round(sum(parts), 3) == told.duration_s == seconds(at + rest)


def test_silence_taken_out_of_a_window_is_silence():
    told = document(hearing_of([Heard(window((1, 3), (10, 14)), reply(spoken(0, "a")))], 20))
    assert told.coverage == Coverage(transcribed_s=6.0, silence_s=14.0)


def test_what_could_not_be_heard_is_a_gap_with_its_reason():
    heard = [
        Heard(window((30, 40), index=1), None, "out of memory"),
        Heard(window((0, 10)), None, "refused"),
        Heard(window((50, 60), index=2), None),
    ]
    told = document(hearing_of(heard))
    assert [(gap.start_s, gap.end_s, gap.reason) for gap in told.gaps[:2]] == [
        (0, 10, "refused"),
        (30, 40, "out of memory"),
    ]
    assert told.gaps[2].reason
    assert told.coverage == Coverage(failed_s=30.0, silence_s=30.0)


def test_what_was_loud_and_not_told_is_listed_with_its_reason():
    heard = [Heard(window((10, 12), (14, 16)), Reply("")), Heard(window((30, 40), index=1), reply(spoken(0, "a")))]
    told = document(hearing_of(heard, loud=[Span(samples(12), samples(13))]))
    no_words, not_speech = "the model heard no words", "loud, but not taken for speech"
    assert told.loud == (Gap(10.0, 12.0, no_words), Gap(12.0, 13.0, not_speech), Gap(14.0, 16.0, no_words))


# --------------------------------------------------------------------------------------------- the whole Document


def test_channels_are_told_apart_and_merged_by_time():
    left = [Heard(window((0, 9)), reply(Segment(0, 2, "hello"), Segment(6, 8, "fine")))]
    right = [Heard(window((0, 9), index=1), reply(Segment(3, 5, "how are you")))]
    told = document(hearing_of(left, 9, channel=0), hearing_of(right, 10, channel=1))
    assert [(segment.speaker, segment.text) for segment in told.segments] == [
        ("Channel 1", "hello"),
        ("Channel 2", "how are you"),
        ("Channel 1", "fine"),
    ]
    assert told.duration_s == 10.0


def test_channels_may_speak_at_once():
    left = [Heard(window((0, 9)), reply(Segment(0, 8, "a long story")))]
    right = [Heard(window((0, 9), index=1), reply(Segment(3, 5, "yes")))]
    told = document(hearing_of(left, 9, channel=0), hearing_of(right, 9, channel=1))
    assert [(segment.start_s, segment.end_s) for segment in told.segments] == [(0, 8), (3, 5)]


@pytest.mark.parametrize("channel", [None, 0, 1])
def test_one_hearing_names_no_speaker(channel):
    told = document(hearing_of([Heard(window((0, 9)), reply(spoken(0, "a")))], channel=channel))
    assert told.segments[0].speaker is None


def test_the_language_is_that_of_most_of_the_audio():
    heard = [
        Heard(window((0, 4)), Reply("ja", language="de")),
        Heard(window((5, 9), index=1), Reply("nein", language="de")),
        Heard(window((10, 17), index=2), Reply("yes", language="en")),
        Heard(window((20, 40), index=3), Reply("", language="fr")),
        Heard(window((40, 60), index=4), None, "failed"),
    ]
    assert document(hearing_of(heard)).language == "de"
    assert document(hearing_of(heard[2:])).language == "en"
    assert document(hearing_of(heard[3:])).language is None


def test_a_silent_recording_is_a_valid_empty_document():
    told = document(hearing_of([], 12.5), warnings=["quiet"])
    assert told == Document(
        "talk.wav", "talk", 12.5, None, (), (), Coverage(silence_s=12.5), MADE_BY, warnings=("quiet",)
    )
    assert (told.text, told.coverage.share) == ("", 1.0)


def test_chunks_are_reported_in_seconds():
    told = document(
        hearing_of([], 310), chunks=[Chunk(0, 0, samples(300), (0, 1)), Chunk(1, samples(270), samples(310), (1,))]
    )
    assert [(one.index, one.start_s, one.end_s, one.windows) for one in told.chunks] == [
        (0, 0, 300, (0, 1)),
        (1, 270, 310, (1,)),
    ]
