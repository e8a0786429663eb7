"""Putting notes together: everything fits, nothing is lost, and it ends, whatever the model answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiocli.errors import EngineError
from audiocli.records import Note, Reply, Request
from audiocli.reduce import CUT_OFF, EMPTY, STUCK, TOO_LONG, reduce

Answer = Callable[[Request], Reply | Exception]


def ask(notes: Sequence[Note]) -> Request:
    return Request((), prompt="\n".join(note.text for note in notes), task="answer")


def fits(budget: int) -> Callable[[Request], bool]:
    """Words stand for tokens."""
    return lambda request: len(request.prompt.split()) <= budget


def minutes(*texts: str) -> list[Note]:
    return [Note(60.0 * index, 60.0 * index + 60, text) for index, text in enumerate(texts)]


def run(notes: Sequence[Note], budget: int, answer: Answer, *, reword: bool = True) -> tuple[Note, list[list[Request]]]:
    """The one note, and the requests of each round; checks on the way that every request fits."""
    steps = reduce(notes, ask, fits(budget), reword=reword)
    rounds: list[list[Request]] = []
    try:
        requests = next(steps)
        while True:
            assert len(rounds) < 1000, "it does not end"
            assert requests and all(map(fits(budget), requests))
            rounds.append(requests)
            requests = steps.send([answer(request) for request in requests])
    except StopIteration as stop:
        return stop.value, rounds


def first_words(count: int) -> Answer:
    return lambda request: Reply(" ".join(request.prompt.split()[:count]))


def test_notes_that_fit_one_request_take_one() -> None:
    note, rounds = run(minutes("a b", "c d", "e f"), 10, lambda request: Reply(" whole "))
    assert note == Note(0.0, 180.0, "whole")
    assert [[request.prompt for request in level] for level in rounds] == [["a b\nc d\ne f"]]


def test_a_level_asks_all_its_requests_together_and_packs_neighbours_greedily() -> None:
    note, rounds = run(minutes("a b", "c d", "e f g", "h i", "j"), 5, first_words(1))
    assert [[request.prompt for request in level] for level in rounds] == [["a b\nc d", "e f g\nh i", "j"], ["a\ne\nj"]]
    assert (note.start_s, note.end_s, note.text) == (0.0, 300.0, "a")


def test_a_single_note_gets_its_final_wording_unless_told_otherwise() -> None:
    assert run(minutes("as noted"), 5, lambda request: Reply("worded"))[0].text == "worded"
    note, rounds = run(minutes("as noted"), 5, lambda request: Reply("worded"), reword=False)
    assert (note, rounds) == (minutes("as noted")[0], [])


@pytest.mark.parametrize("notes", [[], minutes("", " \n")])
def test_without_words_nothing_is_asked(notes: list[Note]) -> None:
    note, rounds = run(notes, 5, lambda request: Reply("invented"))
    assert (note.text, rounds) == ("", [])
    assert note.end_s == (120.0 if notes else 0.0)


def test_a_long_note_is_split_at_its_lines_then_sentences_then_words() -> None:
    text = "one two\nthree four. Five six. Seven eight nine ten eleven twelve"
    _, rounds = run(minutes(text), 4, first_words(1))
    assert [request.prompt for request in rounds[0]] == [
        "one two",
        "three four. Five six.",
        "Seven eight nine",
        "ten eleven twelve",
    ]


def test_what_cannot_be_split_small_enough_is_kept_and_marked() -> None:
    note, rounds = run(minutes("a note"), 0, first_words(1))
    assert (note.text, note.unreliable, rounds) == ("a note", TOO_LONG, [])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [(EngineError("no memory"), "no memory"), (Reply("half a", stop="length"), CUT_OFF), (Reply(" \n"), EMPTY)],
)
def test_a_note_that_fails_alone_stands_beside_the_answer_in_its_own_words(bad: Reply | Exception, reason: str) -> None:
    def answer(request: Request) -> Reply | Exception:
        return bad if "poison" in request.prompt else Reply("fine: " + request.prompt.replace("\n", "+"))

    note, rounds = run(minutes("a", "poison", "c", "d"), 10, answer)
    assert "poison" in note.text.splitlines()
    assert "fine: " in note.text and "half a" not in note.text
    assert note.unreliable is not None and reason in note.unreliable
    assert [len(level) for level in rounds] == [1, 2, 2, 1]


def test_a_group_cut_off_is_asked_in_halves_and_then_put_together() -> None:
    def answer(request: Request) -> Reply:
        words = request.prompt.split()
        return Reply("cut", stop="length") if len(words) > 4 else Reply(words[0])

    note, rounds = run(minutes("a b", "c d", "e f", "g h"), 10, answer)
    assert [[request.prompt for request in level] for level in rounds] == [
        ["a b\nc d\ne f\ng h"],
        ["a b\nc d", "e f\ng h"],
        ["a\ne"],
    ]
    assert (note.text, note.unreliable) == ("a", None)


def test_answers_that_never_get_shorter_are_joined_and_marked() -> None:
    note, rounds = run(minutes("a b c", "d e f", "g h i"), 4, lambda request: Reply(request.prompt.upper()))
    assert note.text == "A B C\nD E F\nG H I"
    assert note.unreliable == STUCK
    assert len(rounds) == 1


def test_doubts_about_a_note_reach_the_result_once() -> None:
    notes = [Note(0, 1, "a", "a loop"), Note(1, 2, "b", "a loop"), Note(2, 3, "c")]
    note, _ = run(notes, 5, lambda request: Reply("x", unreliable="a guess"))
    assert note.unreliable == "a loop; a guess"


def test_a_wrong_number_of_answers_is_an_error() -> None:
    steps = reduce(minutes("a", "b"), ask, fits(1))
    next(steps)
    with pytest.raises(ValueError, match="zip"):
        steps.send([Reply("only one")])


WORDS = st.lists(st.sampled_from(["a", "bb.", "ccc\n", "d"]), max_size=30).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(WORDS, max_size=12), budget=st.integers(1, 12), seed=st.randoms(use_true_random=False))
def test_it_ends_and_repeats_whatever_is_answered(texts: list[str], budget: int, seed: object) -> None:
    """Answers of any length up to the budget, longer ones, blank ones, cut ones, failures."""
    answers: dict[str, Reply | Exception] = {}

    def answer(request: Request) -> Reply | Exception:
        if request.prompt not in answers:
            length = seed.randint(0, budget + 2)  # type: ignore[attr-defined]
            kinds = [Reply("w " * length), Reply("w", stop="length"), EngineError("no")]
            answers[request.prompt] = seed.choices(kinds, [8, 1, 1])[0]  # type: ignore[attr-defined]
        return answers[request.prompt]

    notes = minutes(*texts)
    note, rounds = run(notes, budget, answer)
    again, same = run(notes, budget, lambda request: answers[request.prompt])
    assert (note, [[one.prompt for one in level] for level in rounds]) == (
        again,
        [[one.prompt for one in level] for level in same],
    )
    if spoken := [one for one in notes if one.text.strip()]:
        assert (note.start_s, note.end_s) == (spoken[0].start_s, spoken[-1].end_s)
        assert note.text.strip()


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(WORDS, min_size=1, max_size=10), budget=st.integers(1, 12))
def test_no_word_is_lost_where_nothing_can_be_answered(texts: list[str], budget: int) -> None:
    note, _ = run(minutes(*texts), budget, lambda request: EngineError("down"))
    assert note.text.split() == " ".join(texts).split()
    assert note.unreliable or not note.text


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(WORDS, min_size=1, max_size=10), budget=st.integers(2, 12))
def test_a_model_that_shortens_gives_one_answer_without_doubt(texts: list[str], budget: int) -> None:
    note, _ = run(minutes(*texts), budget, first_words(1))
    assert note.unreliable is None
    assert len(note.text.split()) <= 1
