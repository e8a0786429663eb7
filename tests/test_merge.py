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


# ---------------------------------------------------------------------------------------- seams without any times


def untimed(heard):
    """The same replies from an engine that tells no times."""
    return replace(heard, reply=Reply(" ".join(segment.text for segment in heard.reply.segments)))


@quick
@given(talks())
def test_without_times_too_every_word_is_told_once_and_in_order(talk):
    words, windows, total = talk
    heard = [untimed(Heard(one, answer(words, one))) for one in windows]
    told = document(hearing_of(heard, total / RATE))
    assert told.text.split() == [word.text.strip() for word in words]
    assert not any(segment.words for segment in told.segments)
    assert_times_are_sound(told)


@settings(max_examples=30, deadline=None)
@given(talks(), st.integers(0, 2**32 - 1))
def test_without_times_errors_near_a_seam_tell_no_word_twice_and_lose_none_elsewhere(talk, seed):
    """As with times, where the sides agree on most of what both heard."""
    words, windows, total = talk
    shared = Counter(word.text for one in windows for word in whole_words(words, one))
    rng = np.random.default_rng(seed)
    heard = [Heard(one, misheard(answer(words, one), shared, rng)) for one in windows]
    for before, after in pairwise(heard):
        if after.window.overlap:
            said = [{word.text.strip() for word in whole_words(words, one.window)} for one in (before, after)]
            agreed = said[0] & set(before.reply.text.split()) & set(after.reply.text.split())
            assume(len(agreed) > 0.5 * len(said[0] & said[1]))
    told = document(hearing_of(list(map(untimed, heard)), total / RATE))
    found = [text for text in told.text.split() if text.startswith("w")]
    assert found == sorted(set(found), key=lambda text: int(text[1:]))
    assert {word.text.strip() for word in words if shared[word.text] == 1} <= set(found)
    assert_times_are_sound(told)


def untimed_seam(left, right, left_s=(0, 30), right_s=(28, 58)):
    """The Document of two windows that share two seconds, of which there is text only."""
    before = Heard(window(left_s), Reply(left))
    after = Heard(window(right_s, index=1, overlap_s=left_s[1] - right_s[0]), Reply(right))
    return document(hearing_of([before, after]))


BODY = " ".join(f"a{number:02}" for number in range(65))
REST = " ".join(f"z{number:02}" for number in range(65))


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        pytest.param("we go on to the next", "go on to the next point", "we go on to the next point", id="all agree"),
        pytest.param("we go on to the nest", "on to the next point", "we go on to the next point", id="last misheard"),
        pytest.param(
            "we go on to the next", "own to the next point", "we go on to the next point", id="first misheard"
        ),
        pytest.param("we go on to the", "go on now to the next", "we go on now to the next", id="the right has more"),
        pytest.param("we go on now to the", "go on to the next", "we go on to the next", id="the left has more"),
        pytest.param("we go on to Thee.", "Go, on; to the next", "we go on to the next", id="capitals and stops"),
        pytest.param("we go on to the uh", "go on to the next", "we go on to the next", id="one invented at the end"),
        pytest.param("we go on to the", "so go on to the next", "we go on to the next", id="one invented at the start"),
        pytest.param("we said no no no", "no no no never", "we said no no no never", id="a true repeat"),
    ],
)
def test_without_times_two_tellings_of_a_seam_become_one(left, right, told):
    assert untimed_seam(f"{BODY} {left}", f"{right} {REST}").text == f"{BODY} {told} {REST}"


@pytest.mark.parametrize("hurry", [0.4, 2.5])
def test_a_change_of_pace_that_no_estimate_knows_neither_doubles_nor_loses_words(hurry):
    """Said at another pace before the seam than after it, the shared words lie seconds from where letters put them."""
    words, at_s, both = [], 0.0, 58.0
    while at_s < both:
        words.append((at_s, f"w{len(words):03}"))
        at_s += 0.4 if 22 < at_s < 36 else 0.4 * hurry
    left = " ".join(text for start_s, text in words if start_s <= 29.6)
    right = " ".join(text for start_s, text in words if start_s >= 28)
    assert untimed_seam(left, right).text == " ".join(text for _, text in words)


@pytest.mark.parametrize("word", ["no", "really"])
@pytest.mark.parametrize("step_s", [0.25, 0.4, 0.5])
def test_without_times_a_word_said_again_and_again_is_told_about_as_often_as_it_was_said(word, step_s):
    count = int(30 / step_s)
    told = untimed_seam(" ".join([word] * count), " ".join([word] * count)).text.split()
    assert len(told) == pytest.approx(58 / step_s, abs=1)


def test_without_times_and_agreement_each_side_tells_its_half_of_the_overlap():
    left = " ".join(f"a{number:02}" for number in range(60))  # two a second
    right = " ".join(f"z{number:02}" for number in range(60))
    told = untimed_seam(left, right).text.split()
    assert told == [*left.split()[:58], *right.split()[2:]]


def test_a_word_that_both_sides_have_far_from_the_seam_is_no_agreement():
    left = " ".join(f"a{number:02}" for number in range(60)).replace("a50", "there")
    right = " ".join(f"z{number:02}" for number in range(60)).replace("z09", "there")
    told = untimed_seam(left, right).text.split()
    assert told == [*left.split()[:58], *right.split()[2:]]


@pytest.mark.parametrize(("left", "right"), [("", f"{BODY}"), (f"{BODY}", ""), ("", ""), ("...", f"{BODY}")])
def test_without_times_a_side_that_says_nothing_takes_nothing_from_the_other(left, right):
    told = untimed_seam(left, right).text
    assert " ".join(word for word in told.split() if word != "...") == f"{left} {right}".replace("...", "").strip()


def test_without_times_a_language_without_blanks_is_told_once():
    said = "今日はとても良い天気ですので公園へ散歩に行きましょうそれから駅前の店で昼ごはんを食べて午後は本を読みます"
    told = untimed_seam(said[:32], said[27:], (0, 12), (10, 22)).text
    assert told.replace(" ", "") == said


def test_a_sentence_that_is_cut_ends_when_it_did_before():
    assert untimed_seam(f"{BODY} we go on", f"we go on {REST}").segments[-1].end_s == 58


def test_one_side_with_times_and_one_without_are_told_once():
    words = " ".join(f"w{number:02}" for number in range(44))
    left = Heard(window((0, 20)), reply(spoken(0.2, " ".join(words.split()[:24]), 0.7, 0.8)))
    right = Heard(window((18, 36), index=1, overlap_s=2), Reply(" ".join(words.split()[22:])))
    told = document(hearing_of([left, right]))
    assert told.text == words
    assert all(segment.end_s <= 20 for segment in told.segments if segment.words)


def test_sides_with_estimated_times_meet_inside_what_both_heard():
    told = untimed_seam("It was late. " + "so we went on " * 12, "on so we went on and on. Then it rained. " * 5)
    seam_at = next(at for at, one in enumerate(told.segments) if one.end_s >= 28)
    assert 28 <= told.segments[seam_at].end_s == told.segments[seam_at + 1].start_s <= 30


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "no", "the", "and", "Yes.", "天", "気。", "x"]), max_size=40), st.data())
def test_no_word_that_only_one_side_could_hear_is_lost_whatever_the_text(words, data):
    """Whatever repeats: words further from the seam than any estimate may be off are told, in order."""
    left = [f"l{number}" for number in range(80)] + words
    right = data.draw(st.permutations(words)) + [f"r{number}" for number in range(80)]
    told = untimed_seam(" ".join(left), " ".join(right)).text.split()
    marks = [word for word in told if word[0] in "lr" and word[1:].isdigit()]
    assert marks == sorted(set(marks), key=lambda mark: (mark[0], int(mark[1:])))
    assert {f"l{number}" for number in range(50)} | {f"r{number}" for number in range(30, 80)} <= set(marks)


# ---------------------------------------------------------------------------------- sentences with estimated times


def sentences(text, *pieces_s):
    told = document(hearing_of([Heard(window(*pieces_s), Reply(text))], 200)).segments
    return [(segment.text, segment.start_s, segment.end_s) for segment in told]


def test_a_reply_without_times_is_told_by_sentences_that_share_its_time_by_their_letters():
    told = sentences("It rained all day. We stayed in! Did you?", (10, 30))
    assert [text for text, _, _ in told] == ["It rained all day.", "We stayed in!", "Did you?"]
    assert [told[0][1], told[-1][2]] == [10, 30]
    assert [end_s for _, _, end_s in told[:-1]] == [start_s for _, start_s, _ in told[1:]]
    assert [end_s - start_s for _, start_s, end_s in told] == pytest.approx(
        [18 / 41 * 20, 14 / 41 * 20, 9 / 41 * 20], abs=0.01
    )


def test_sentences_with_estimated_times_claim_no_times_for_words():
    told = document(hearing_of([Heard(window((0, 20)), Reply("It rained. We stayed in."))]))
    assert [segment.words for segment in told.segments] == [(), ()]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Dr. Smith came at 3.5 p.m. and left. Good.", ["Dr. Smith came at 3.5 p.m. and left.", "Good."]),
        ('He said: "Go." She went.', ['He said: "Go."', "She went."]),
        ("No comma, no stop", ["No comma, no stop"]),
        ("first line\n\nsecond line", ["first line", "second line"]),
        ("今日は良い天気です。散歩に行きましょう。", ["今日は良い天気です。", "散歩に行きましょう。"]),
        ("「行こう。」彼は言った。", ["「行こう。」", "彼は言った。"]),
        ("...", ["..."]),
    ],
)
def test_sentences_end_where_a_reader_sees_their_end(text, told):
    assert [sentence for sentence, _, _ in sentences(text, (0, 10))] == told


def test_a_sentence_too_short_to_read_is_told_with_the_next():
    told = sentences("No. No. No. He will not come to the meeting today. Ok.", (0, 10))
    assert [text for text, _, _ in told] == ["No. No.", "No. He will not come to the meeting today. Ok."]


def test_long_silence_between_sentences_is_in_none_of_them():
    """By the letters the first sentence ends a second after the silence that was taken out."""
    told = sentences("We stayed in the house. It rained all day", (0, 10), (60, 70))
    assert told == [("We stayed in the house.", 0, 10), ("It rained all day", 60, 70)]


def test_long_silence_far_from_the_end_of_any_sentence_is_cut_out_between_two_words():
    told = sentences("one two six ten one two six ten one two six ten", (0, 12), (60, 72))
    assert told == [("one two six ten one two", 0, 12), ("six ten one two six ten", 60, 72)]


def test_a_short_pause_inside_a_window_stays_inside_its_sentence():
    assert sentences("one two six ten one two six ten", (0, 6), (7.5, 12)) == [
        ("one two six ten one two six ten", 0, 12)
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.sampled_from('ab. 。!?天気\n"A1'), max_size=80),
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 900)), min_size=1, max_size=5),
)
def test_sentences_lose_no_letter_and_lie_in_order_within_their_window(text, steps):
    ends = np.cumsum([step for pair in steps for step in pair]) / 10
    pieces = list(zip(ends[::2].tolist(), ends[1::2].tolist(), strict=True))
    told = document(hearing_of([Heard(window(*pieces), Reply(text))], 1000))
    assert "".join(told.text.split()) == "".join(text.split())
    assert_times_are_sound(told)
    for segment in told.segments:
        assert pieces[0][0] <= segment.start_s and segment.end_s <= pieces[-1][1]
        assert not any(
            after - before >= 2 and segment.start_s < before and after < segment.end_s
            for (_, before), (after, _) in pairwise(pieces)
        )


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
GRAVER_FIRST = ["failed", "unreliable", "transcribed", "skipped", "event", "silence"]
millisecond = RATE // 1000


@st.composite
def accounts(draw):
    """Hearings with windows of every kind, some overlapping, of some of which only a part was chosen.

    With them the kind of each millisecond as a plain count.
    """
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
        only = draw(st.none() | st.lists(st.integers(0, total), unique=True, max_size=8).map(sorted))
        if only is not None:
            chosen = list(zip(only[::2], only[1::2], strict=False))
            left_out = np.ones(total, bool)
            for start, stop in chosen:
                left_out[start:stop] = False
            truth[left_out] = np.minimum(truth[left_out], GRAVER_FIRST.index("skipped"))
            only = tuple(Span(start * millisecond, stop * millisecond) for start, stop in chosen)
        for start, stop, kind in marks:
            truth[start:stop] = np.minimum(truth[start:stop], GRAVER_FIRST.index(kind))
        hearings.append(Hearing(Speech((), total * millisecond, tuple(loud)), tuple(heard), channel, only))
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


def test_what_was_not_chosen_is_skipped_and_silence_is_silence_only_where_it_was_chosen():
    heard = [Heard(window((12, 14), (17, 20)), reply(spoken(0, "a")))]
    hearing = Hearing(Speech((), samples(60)), tuple(heard), only=(Span(samples(10), samples(20)),))
    assert document(hearing).coverage == Coverage(transcribed_s=5.0, silence_s=5.0, skipped_s=50.0)
    assert document(hearing).coverage.share == 1.0
    assert document(replace(hearing, heard=(), only=())).coverage == Coverage(skipped_s=60.0)
    assert document(replace(hearing, only=(Span(0, samples(60)),))).coverage.skipped_s == 0


def test_what_was_loud_where_nobody_was_to_listen_is_not_listed():
    loud = (Span(samples(5), samples(12)), Span(samples(30), samples(40)))
    hearing = Hearing(Speech((), samples(60), loud), (), only=(Span(samples(10), samples(20)),))
    told = document(hearing)
    assert told.loud == (Gap(10.0, 12.0, "loud, but not taken for speech"),)
    assert told.coverage == Coverage(event_s=2.0, silence_s=8.0, skipped_s=50.0)


def test_what_a_prompt_heard_counts_as_transcribed_and_is_neither_gap_nor_text():
    heard = [
        Heard(window((0, 10)), None, noted=True),
        Heard(window((10, 20), index=1), None, "out of memory"),
        Heard(window((30, 40), index=2), Reply("It is about rain.", unreliable="loops"), noted=True),
        Heard(window((40, 45), index=3), Reply("It is about rain."), noted=True),
    ]
    told = document(hearing_of(heard))
    assert told.coverage == Coverage(transcribed_s=15.0, unreliable_s=10.0, failed_s=10.0, silence_s=25.0)
    assert told.segments == () and told.loud == ()
    assert told.gaps == (Gap(10.0, 20.0, "out of memory"),)


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
