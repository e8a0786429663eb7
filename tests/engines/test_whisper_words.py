"""Words are those of the text, and their times those of the sound: held against a plain alignment and real pauses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import random_whisper as rw
import torch
from conftest import Bare, Load, Recording
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from audiocli.engines import Engine
from audiocli.engines.families.whisper_alignment import Said, first_positions, words
from audiocli.engines.families.whisper_decoding import Decoder
from audiocli.records import RATE, Reply, Request, Waveform, Word


@pytest.fixture(scope="module")
def embedded(load: Load) -> Engine:
    return load("embedded")


def spoken(engine: Engine, clip: Waveform, **more: Any) -> list[Word]:
    (reply,) = engine.generate([Request((clip,), word_timestamps=True, **more)])
    assert isinstance(reply, Reply)
    found = [word for segment in reply.segments for word in segment.words]
    assert [word.text.strip() for word in found] == reply.text.split()
    return found


def plain(text: str) -> str:
    return "".join(sign for sign in text.casefold() if sign.isalnum())


# ---- when


def align_plainly(bare: Bare, encoded: Any, tokens: Sequence[int], positions: int) -> list[tuple[float, float]]:
    """When each token starts and ends, in seconds, by the reference's method and the attention weights themselves."""
    told = torch.tensor([[rw.SOT, rw.NO_TIMESTAMPS, *tokens, rw.EOT]])
    with torch.inference_mode():
        answer = bare.model(decoder_input_ids=told, encoder_outputs=(encoded,), output_attentions=True)
    heads = [
        answer.cross_attentions[layer][0, head].numpy() for layer, head in bare.model.generation_config.alignment_heads
    ]
    rows = np.mean([sharpen_plainly(head[:, :positions]) for head in heads], axis=0)[1:-1]
    starts = [position * 0.02 for position in warp_plainly(rows)]
    return list(pairwise(starts))


def sharpen_plainly(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    weights = weights / weights.sum(1, keepdims=True)
    weights = (weights - weights.mean(0)) / weights.std(0)
    padded = np.pad(weights, ((0, 0), (3, 3)), mode="reflect")
    return np.median([padded[:, shift : shift + weights.shape[1]] for shift in range(7)], axis=0)


def warp_plainly(gain: npt.NDArray[Any]) -> list[int]:
    """Dynamic time warping, cell by cell. Returns the first position of each row on the path of greatest gain."""
    best: dict[tuple[int, int], float] = {}
    came: dict[tuple[int, int], tuple[int, int]] = {}
    for row in range(gain.shape[0]):
        for at in range(gain.shape[1]):
            ways = [cell for cell in ((row - 1, at - 1), (row - 1, at), (row, at - 1)) if cell in best]
            if ways:
                came[row, at] = max(ways, key=best.__getitem__)
            best[row, at] = float(gain[row, at]) + (best[came[row, at]] if ways else 0.0)
    cell = (gain.shape[0] - 1, gain.shape[1] - 1)
    first = {cell[0]: cell[1]}
    while cell in came:
        cell = came[cell]
        first[cell[0]] = cell[1]
    return [first[row] for row in range(gain.shape[0])]


def time_plainly(bare: Bare, clip: Waveform) -> list[tuple[str, float, float]]:
    """Decode a clip, align its tokens, and put them together at blanks; punctuation at the end takes no time."""
    encoded, prompt = bare.encode([clip]), torch.tensor([[rw.SOT]])
    decoder = Decoder(bare.model, bare.vocabulary)
    (answer,) = decoder.decode(encoded, prompt, lengths_s=[len(clip) / RATE], budget=200)
    tokens = [token for token in answer.tokens if token < rw.EOT]
    found: list[tuple[str, float, float]] = []
    for token, (start_s, end_s) in zip(tokens, align_plainly(bare, encoded, tokens, len(clip) // 320), strict=True):
        text = bare.text([token])
        if text.startswith(" ") or not found:
            found.append((text, start_s, end_s))
        else:
            whole, whole_start_s, whole_end_s = found[-1]
            found[-1] = (whole + text, whole_start_s, end_s if plain(text) else whole_end_s)
    return found


def test_words_are_timed_as_by_a_plain_alignment(embedded: Engine, bare_embedded: Bare, speech: list[Waveform]) -> None:
    near = []
    for clip in (speech[1], speech[3]):
        theirs, ours = time_plainly(bare_embedded, clip), spoken(embedded, clip)
        assert [word.text for word in ours] == [text for text, _, _ in theirs]
        for word, (_, start_s, end_s) in zip(ours, theirs, strict=True):
            near.append(abs(word.start_s - start_s) < 0.021 and abs(word.end_s - end_s) < 0.021)
    assert len(near) > 50
    assert np.mean(near) >= 0.97, "one position of the encoder is 20 ms"


def check_each_word_is_where_it_is_said(found: Sequence[Word], said: Sequence[tuple[float, float, str]]) -> None:
    """Every word stands in the stretch of speech it belongs to, and hardly reaches out of it into the pauses.

    said: start and end of each stretch in seconds, and what the model writes for it.
    """
    for start_s, end_s, text in said:
        middles = [(word.start_s + word.end_s) / 2 for word in found]
        inside = [word.text for word, at_s in zip(found, middles, strict=True) if start_s - 0.1 < at_s < end_s + 0.1]
        assert "".join(inside).strip() == text
    assert sum(len(text.split()) for _, _, text in said) == len(found)
    for word in found:
        heard_s = sum(max(0.0, min(word.end_s, end_s) - max(word.start_s, start_s)) for start_s, end_s, _ in said)
        assert word.end_s - word.start_s - heard_s < 0.4, word


def test_words_stay_in_their_utterance(embedded: Engine, meeting: Recording) -> None:
    texts = [
        "Good morning, everyone, and thank you for being on time. Is everybody here?",
        "I think so, David is just closing the door.",
        "I am here. Good morning.",
    ]
    said = [(one.start_s, one.end_s, text) for one, text in zip(meeting.utterances, texts, strict=False)]
    check_each_word_is_where_it_is_said(spoken(embedded, meeting.cut(0, 11.4)), said)


def test_words_on_both_sides_of_a_long_pause_keep_out_of_it(embedded: Engine, pauses: Recording) -> None:
    """19 s, which alignment gives to the words around them."""
    before, after = pauses.utterances[2:4]
    texts = [
        "Now there are two of them, one on the left side and one behind me.",
        "The fox came out of the trees, looked at me for a moment, and went away again.",
    ]
    said = [(one.start_s - 37, one.end_s - 37, text) for one, text in zip((before, after), texts, strict=True)]
    check_each_word_is_where_it_is_said(spoken(embedded, pauses.cut(37, 67)), said)


def test_words_of_joined_recordings_stay_in_their_own(embedded: Engine, readings: list[Waveform]) -> None:
    """Three sentences with a second of silence between them."""
    pause = np.zeros(RATE, np.float32)
    parts = [readings[index] for index in (3, 10, 15)]
    joined = np.concatenate([piece for part in parts for piece in (part, pause)])
    starts_s = np.cumsum([0, *(len(part) / RATE + 1 for part in parts[:-1])]).tolist()
    texts = [
        "produced the block books which were the immediate predecessors of the true printed book.",
        "It is of the first importance that the letter used should be fine in form.",
        "The Middle Ages brought calligraphy to perfection, and it was natural therefore",
    ]
    said = [
        (start_s, start_s + len(part) / RATE, text) for start_s, part, text in zip(starts_s, parts, texts, strict=True)
    ]
    check_each_word_is_where_it_is_said(spoken(embedded, joined), said)


def test_a_prompt_moves_no_word(embedded: Engine, meeting: Recording) -> None:
    """Context helps to find the words; they are aligned without it."""
    clip = meeting.cut(5.6, 8.9)
    without, with_ = spoken(embedded, clip), spoken(embedded, clip, initial_prompt="David and Peter.")
    assert [word.text for word in with_] == [word.text for word in without]
    assert [(word.start_s, word.end_s) for word in with_] == [(word.start_s, word.end_s) for word in without]


# ---- the path


@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
        elements=st.floats(-3, 3, width=32),
        unique=True,
    )
)
def test_the_path_is_that_of_dynamic_time_warping(gain: npt.NDArray[np.float32]) -> None:
    assert first_positions(gain).tolist() == warp_plainly(gain.astype(np.float64))


def test_more_tokens_than_positions_share_them() -> None:
    assert first_positions(np.zeros((5, 1), np.float32)).tolist() == [0] * 5


# ---- which


class Writer:
    """Times made-up tokens over a real clip with random weights, so that any text can be tried."""

    def __init__(self, bare: Bare, clip: Waveform) -> None:
        self._bare, self._length_s = bare, len(clip) / RATE
        self._encoded = bare.encode([clip])[0]

    def spell(self, *texts: str, language: str = "en") -> list[list[str]]:
        """The words of each segment, for its text."""
        encode = self._bare.tokenizer.encode
        timed = self.time([encode(text, add_special_tokens=False) for text in texts], language)
        return [[word.text for word in segment] for segment in timed]

    def time(self, segments: Sequence[Sequence[int]], language: str = "en") -> list[tuple[Word, ...]]:
        return words(
            self._bare.model,
            self._encoded,
            [rw.SOT, rw.NO_TIMESTAMPS],
            [Said(tokens, [-0.5] * len(tokens)) for tokens in segments],
            heads=rw.HEADS,
            length_s=self._length_s,
            language=language,
            to_text=self._bare.text,
        )


@pytest.fixture(scope="module")
def writer(bare_random: Bare, speech: list[Waveform]) -> Writer:
    return Writer(bare_random, speech[1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" It's 10,000 dollars, isn't it?", [" It's", " 10,000", " dollars,", " isn't", " it?"]),
        (" the 42-line Bible (of 1455).", [" the", " 42-line", " Bible", " (of", " 1455)."]),
        (' He said: "Yes!"', [" He", " said:", ' "Yes!"']),
        (" yes - or no", [" yes", " - or", " no"]),
        (" wait ... what", [" wait ...", " what"]),
        (" ¿Qué? «Nada»", [" ¿Qué?", " «Nada»"]),
        (" 50% of $3.50 & more", [" 50%", " of", " $3.50", " &", " more"]),
        ("No blank before", ["No", " blank", " before"]),
        (" über naïve café", [" über", " naïve", " café"]),
        (" 👍 fine ♪", [" 👍", " fine", " ♪"]),
        (" -", [" -"]),
        (" the end -", [" the", " end -"]),
        ("", []),
    ],
)
def test_words_are_what_stands_between_blanks(writer: Writer, text: str, expected: list[str]) -> None:
    assert writer.spell(text) == [expected]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("zh", "你好，世界。", ["你", "好，", "世", "界。"]),
        ("ja", "「はい」と。", ["「は", "い」", "と。"]),
        ("th", "ดี", ["ด", "ี"]),
        ("yue", "係 呀", ["係", " 呀"]),
    ],
)
def test_languages_without_blanks_are_split_by_character(
    language: str, text: str, expected: list[str], writer: Writer
) -> None:
    """A character is several tokens in this vocabulary, and stays whole."""
    assert writer.spell(text, language=language) == [expected]


def test_a_word_does_not_reach_into_the_next_segment(writer: Writer) -> None:
    """Even where the text of the next one starts without a blank."""
    assert writer.spell(" One sentence.", "Another", " -") == [[" One", " sentence."], ["Another"], [" -"]]


def test_punctuation_takes_no_time(writer: Writer) -> None:
    bare, marked = (writer.time([tokens])[0] for tokens in ([530, 734], [530, 11, 734]))
    assert [word.text for word in marked] == [" one,", " two"]
    assert len(bare) == 2
    assert marked[0].end_s < marked[1].start_s, "the comma's time belongs to neither"


def test_confidence_is_the_mean_probability_of_the_spoken_tokens(writer: Writer) -> None:
    assert {word.confidence for word in writer.time([[530, 11, 734]])[0]} == {0.607}


segments_of_text = st.lists(st.text(max_size=20), min_size=1, max_size=3)
segments_of_tokens = st.lists(st.lists(st.integers(0, rw.EOT - 1), max_size=12), min_size=1, max_size=3)


def check_all_of_the_text_once(writer: Writer, segments: Sequence[Sequence[int]], language: str) -> None:
    timed = writer.time(segments, language)
    assert len(timed) == len(segments)
    for tokens, found in zip(segments, timed, strict=True):
        assert "".join(word.text for word in found) == writer._bare.text(tokens)
    edges = [edge for segment in timed for word in segment for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= writer._length_s for edge in edges)


@settings(max_examples=40, deadline=None)
@given(texts=segments_of_text, language=st.sampled_from(["en", "zh"]))
def test_any_text_is_in_its_words_once_and_in_order(writer: Writer, texts: list[str], language: str) -> None:
    encode = writer._bare.tokenizer.encode
    check_all_of_the_text_once(writer, [encode(text, add_special_tokens=False)[:12] for text in texts], language)


@settings(max_examples=40, deadline=None)
@given(segments=segments_of_tokens, language=st.sampled_from(["en", "zh"]))
def test_any_tokens_are_in_their_words_even_those_that_are_no_text(
    writer: Writer, segments: list[list[int]], language: str
) -> None:
    check_all_of_the_text_once(writer, segments, language)
