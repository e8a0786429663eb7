"""Whisper answers as its rules say: held against a plain loop, against transformers, and against what was spoken."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_whisper as rw
import torch
from conftest import Bare, Load, Recording, options
from transformers import GenerationMixin, LogitsProcessorList, SuppressTokensLogitsProcessor
from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor

from audiocli import engines
from audiocli.engines import Engine, EngineOptions, Fallback
from audiocli.engines.families.whisper_decoding import Decoder, Hypothesis
from audiocli.records import RATE, Reply, Request, Waveform

GREEDY = Fallback(temperatures=(0.0,))
AGAIN_IF_LOOPING = Fallback(temperatures=(0.0, 0.5), logprob=None)


def ask(engine: Engine, *requests: Request) -> list[Reply]:
    replies = [reply for reply in engine.generate(requests) if isinstance(reply, Reply)]
    assert len(replies) == len(requests)
    return replies


def hear(engine: Engine, clip: Waveform, **settings: Any) -> Reply:
    return ask(engine, Request((clip,), **settings))[0]


@pytest.fixture(scope="module")
def embedded(load: Load) -> Engine:
    return load("embedded")


@pytest.fixture(scope="module")
def many_tongues(load: Load) -> Engine:
    return load("random")


@pytest.fixture(scope="module")
def hiss() -> Waveform:
    """10 s of noise, in which Whisper finds a sentence."""
    return (0.03 * np.random.default_rng(1).standard_normal(10 * RATE)).astype(np.float32)


# ---- the loop, against one written for clearness


def decode_plainly(bare: Bare, clip: Waveform, prompt: Sequence[int], budget: int) -> Hypothesis:
    """Greedy decoding of one clip by the rules as they are told, all of the answer computed anew for each token."""
    encoded, tokens, logprobs = bare.encode([clip]), list[int](), list[float]()
    no_speech = None
    for _ in range(budget):
        with torch.inference_mode():
            told = torch.tensor([[*prompt, *tokens]])
            logits = bare.model(decoder_input_ids=told, encoder_outputs=(encoded,)).logits[0]
        if no_speech is None:
            no_speech = float(logits[list(prompt).index(rw.SOT)].softmax(-1)[rw.NO_TIMESTAMPS - 1])
        allowed = rule_out(logits[-1], tokens, bare, len(clip) / RATE).log_softmax(-1)
        token = int(allowed.argmax())
        if token == rw.EOT:
            return Hypothesis(tuple(tokens), tuple(logprobs), float(allowed[token]), no_speech, "end")
        tokens.append(token)
        logprobs.append(float(allowed[token]))
    return Hypothesis(tuple(tokens), tuple(logprobs), 0.0, no_speech, "length")


def rule_out(logits: torch.Tensor, tokens: Sequence[int], bare: Bare, length_s: float) -> torch.Tensor:
    """What may come next, one rule after the other. logits: float32 (vocabulary,)."""
    forbidden = torch.zeros(len(logits), dtype=torch.bool)
    forbidden[bare.model.generation_config.suppress_tokens] = True
    forbidden[rw.NO_TIMESTAMPS] = True
    stamps = [token for token in tokens if token >= rw.FIRST_TIMESTAMP]
    if not tokens:
        # an answer starts with a timestamp of the first second
        forbidden[: rw.FIRST_TIMESTAMP] = True
        forbidden[rw.FIRST_TIMESTAMP + 50 + 1 :] = True
    else:
        last, before = tokens[-1], tokens[-2] if len(tokens) > 1 else rw.FIRST_TIMESTAMP
        opens = last >= rw.FIRST_TIMESTAMP and before >= rw.FIRST_TIMESTAMP
        closes = last >= rw.FIRST_TIMESTAMP and not opens
        # timestamps come in pairs and do not run backwards; a segment has a length
        forbidden[rw.FIRST_TIMESTAMP : stamps[-1] + (0 if closes else 1)] = True
        if opens:
            forbidden[rw.FIRST_TIMESTAMP :] = True
        if closes:
            forbidden[: rw.EOT] = True
        # with more than a second to hear, a segment that was opened is not left empty
        if opens and (last - rw.FIRST_TIMESTAMP) * 0.02 < length_s - 1.0 - 0.005:
            forbidden[rw.EOT] = True
    allowed = logits.masked_fill(forbidden, -torch.inf)
    chances = allowed.softmax(-1)
    if tokens and chances[rw.FIRST_TIMESTAMP :].sum() > chances[: rw.FIRST_TIMESTAMP].max():
        allowed[: rw.FIRST_TIMESTAMP] = -torch.inf
    return allowed


def decode(bare: Bare, clips: Sequence[Waveform], prompt: Sequence[int], budget: int, **more: Any) -> list[Hypothesis]:
    """Ours, all clips in one batch."""
    settings = {"lengths_s": [len(clip) / RATE for clip in clips], **more}
    prompts = torch.tensor([list(prompt)] * len(clips))
    return Decoder(bare.model, bare.vocabulary).decode(bare.encode(clips), prompts, budget=budget, **settings)


def same(ours: Hypothesis, theirs: Hypothesis) -> bool:
    return (
        (ours.tokens, ours.stop) == (theirs.tokens, theirs.stop)
        and np.allclose(ours.logprobs, theirs.logprobs, atol=1e-3)
        and np.isclose(ours.end_logprob, theirs.end_logprob, atol=1e-3)
        and np.isclose(ours.no_speech_prob or 0, theirs.no_speech_prob or 0, atol=1e-3)
    )


def test_a_batch_of_real_speech_is_decoded_as_by_a_plain_loop(
    bare_embedded: Bare, speech: list[Waveform], hiss: Waveform
) -> None:
    clips = [speech[2], speech[4], hiss]
    ours = decode(bare_embedded, clips, [rw.SOT], 224)
    for clip, hypothesis in zip(clips, ours, strict=True):
        assert same(hypothesis, decode_plainly(bare_embedded, clip, [rw.SOT], 224))


def test_random_weights_are_decoded_as_by_a_plain_loop(
    bare_random: Bare, speech: list[Waveform], hiss: Waveform
) -> None:
    """They say what real ones never do, and so reach the corners of the rules."""
    clips, prompt = [*speech[:6], hiss], [rw.PREVIOUS, 318, 257, rw.SOT, rw.SOT + 4, rw.TRANSCRIBE]
    ours = decode(bare_random, clips, prompt, 30)
    theirs = [decode_plainly(bare_random, clip, prompt, 30) for clip in clips]
    assert all(map(same, ours, theirs))
    assert {hypothesis.stop for hypothesis in ours} == {"end", "length"}


def test_what_is_left_to_hear_is_counted_for_each_clip(bare_embedded: Bare, speech: list[Waveform]) -> None:
    """A clip that ends early leaves the batch; the one behind it has 7 s to go when its first sentence is told."""
    full = decode(bare_embedded, [speech[0]], [rw.SOT], 224)
    assert decode(bare_embedded, [speech[5], speech[0]], [rw.SOT], 224)[1].tokens == full[0].tokens
    cut_short = decode(bare_embedded, [speech[0]], [rw.SOT], 224, lengths_s=[0.0])
    assert len(cut_short[0].tokens) < len(full[0].tokens)


def test_without_the_rule_for_what_is_left_to_hear_transformers_decodes_the_same(
    bare_embedded: Bare, speech: list[Waveform]
) -> None:
    """One pass of its own search with its own rules; Whisper's own `generate` would hear parts of a window again."""
    clips = [speech[0], speech[2]]
    ours = decode(bare_embedded, clips, [rw.SOT], 200, lengths_s=[0.0] * len(clips))
    settings = bare_embedded.model.generation_config
    for clip, hypothesis in zip(clips, ours, strict=True):
        theirs = GenerationMixin.generate(
            bare_embedded.model,
            encoder_outputs=(bare_embedded.encode([clip]),),
            decoder_input_ids=torch.tensor([[rw.SOT]]),
            logits_processor=LogitsProcessorList(
                [
                    SuppressTokensLogitsProcessor(settings.suppress_tokens),
                    WhisperTimeStampLogitsProcessor(settings, begin_index=1),
                ]
            ),
            suppress_tokens=None,
            begin_suppress_tokens=None,
            max_new_tokens=200,
            do_sample=False,
        )
        assert [rw.SOT, *hypothesis.tokens, rw.EOT] == theirs[0].tolist()


# ---- what is said


def test_speech_is_written_down(embedded: Engine, meeting: Recording) -> None:
    utterance = meeting.utterances[1]
    reply = hear(embedded, meeting.cut(utterance.start_s - 0.1, utterance.end_s + 0.1))
    assert reply.text == "I think so, David is just closing the door."
    assert (reply.language, reply.temperature, reply.stop, reply.unreliable) == ("en", 0.0, "end", None)
    assert len(reply.segments) == 1
    assert reply.segments[0].start_s < 0.3
    assert reply.segments[0].end_s > 2.5


def test_a_sentence_after_a_long_pause_is_not_left_out(embedded: Engine, pauses: Recording) -> None:
    reply = hear(embedded, pauses.cut(0, 30))
    assert "recorder is running" in reply.text
    assert "first bird has started to sing" in reply.text


def test_an_answer_that_runs_out_of_its_budget_says_so(load: Load, speech: list[Waveform]) -> None:
    replies = ask(load("random"), *(Request((clip,)) for clip in speech))
    assert {reply.stop for reply in replies} == {"end", "length"}
    assert all((reply.tokens == 32) == (reply.stop == "length") for reply in replies)


def test_a_model_that_never_ends_is_stopped(tmp_path: Path, speech: list[Waveform]) -> None:
    folder = rw.make(tmp_path / "endless", end=0.0)
    engine = engines.blueprint(options("random", folder)).load()
    replies = ask(engine, *(Request((clip,), initial_prompt="a b c d " * 20) for clip in speech[:3]))
    # 64 positions: 1 + 31 of context, 3 that start the answer, and what is left of them
    assert [(reply.stop, reply.tokens) for reply in replies] == [("length", 29)] * 3


# ---- silence


def test_no_speech_is_more_probable_in_silence_than_in_speech(
    embedded: Engine, speech: list[Waveform], hiss: Waveform
) -> None:
    clips = [speech[2], hiss, np.zeros(10 * RATE, np.float32)]
    spoken, hissed, silent = (hear(embedded, clip).no_speech_prob or 0.0 for clip in clips)
    assert spoken < 0.2
    assert hissed > 0.8
    assert silent > 0.8


def test_a_guess_where_probably_nobody_speaks_is_silence(embedded: Engine, hiss: Waveform) -> None:
    reply = hear(embedded, hiss, word_timestamps=True)
    assert (reply.text, reply.segments, reply.stop, reply.unreliable) == ("", (), "end", None)
    assert reply.temperature == 0.0, "and is not asked for again"


def test_what_the_model_is_sure_of_is_no_silence(load: Load, speech: list[Waveform]) -> None:
    """However probable no speech is: here, any chance of it is too high."""
    sure, guessing = (
        load("embedded", fallback=Fallback((0.0,), logprob=least, no_speech=0.0)) for least in (-1.0, 0.0)
    )
    assert hear(sure, speech[2]).text
    assert hear(guessing, speech[2]).text == ""


def test_without_the_rule_for_silence_a_guess_is_kept_and_marked(load: Load, hiss: Waveform) -> None:
    engine = load("embedded", fallback=Fallback(temperatures=(0.0,), no_speech=None))
    guess, full_stop = ask(engine, Request((hiss,)), Request((hiss / 10,)))
    assert guess.text
    assert guess.unreliable is not None
    assert guess.unreliable.startswith("guessed (mean log probability -1.")
    assert (full_stop.text, full_stop.tokens, full_stop.unreliable) == ("", 3, None), "no words under any rule"


# ---- asking again


def test_text_invented_over_noise_is_asked_for_again_and_marked(load: Load, rain: Waveform) -> None:
    first = hear(load("embedded", fallback=GREEDY), rain)
    again = hear(load("embedded"), rain)
    assert (first.temperature, again.temperature) == (0.0, 0.4)
    assert first.unreliable and again.unreliable
    assert (again.avg_logprob or 0) > (first.avg_logprob or 0), "the most probable of the guesses is given"


def test_every_attempt_can_be_doubted_and_the_most_probable_is_given(load: Load, speech: list[Waveform]) -> None:
    """A ratio that no text keeps below."""
    temperatures = (0.3, 0.6)
    single = [load("random", fallback=Fallback((at,), 0.1, None)) for at in temperatures]
    both = load("random", fallback=Fallback(temperatures, 0.1, None))
    for clip in speech[1:3]:
        attempts = [hear(engine, clip) for engine in single]
        assert hear(both, clip) == max(attempts, key=lambda reply: reply.avg_logprob or -9)


def test_a_looping_answer_is_asked_for_again_until_it_does_not_loop(load: Load, speech: list[Waveform]) -> None:
    loops = hear(load("random", fallback=Fallback(temperatures=(0.0,), logprob=None)), speech[0])
    cured = hear(load("random", fallback=Fallback(temperatures=(0.0, 1.0), logprob=None)), speech[0])
    assert (loops.compression_ratio or 0) > 2.4
    assert loops.unreliable == f"repeats itself (compression ratio {loops.compression_ratio:.1f})"
    assert (cured.compression_ratio or 9) < 2.4
    assert (cured.temperature, cured.unreliable) == (1.0, None)


def test_sampled_answers_are_the_same_again_and_in_any_company(load: Load, speech: list[Waveform]) -> None:
    requests = [Request((clip,), word_timestamps=True) for clip in speech[1:6]]
    engine = load("random", fallback=AGAIN_IF_LOOPING)
    alone = [ask(engine, request)[0] for request in requests]
    assert {reply.temperature for reply in alone} == {0.0, 0.5}, "some are asked again beside others that are not"
    for replies in (ask(engine, *requests), ask(load("random", 3, AGAIN_IF_LOOPING), *requests[::-1])[::-1]):
        assert [(reply.text, reply.temperature) for reply in replies] == [
            (reply.text, reply.temperature) for reply in alone
        ]


def test_rows_sample_independently(load: Load, speech: list[Waveform]) -> None:
    """A seed for the whole batch would make equal clips differ, and different clips depend on their place."""
    engine = load("random", fallback=Fallback(temperatures=(1.0,)))
    first, second, third = ask(engine, *(Request((speech[index],)) for index in (0, 1, 0)))
    assert first == third
    assert first.text != second.text


# ---- context


def test_an_initial_prompt_decides_the_spelling_and_is_not_repeated(embedded: Engine, call: Recording) -> None:
    utterance = next(one for one in call.utterances if one.text == "The name is Baker. Michael Baker.")
    clip = call.cut(utterance.start_s - 0.2, utterance.end_s + 0.2)
    plain, prompted, unsaid = ask(
        embedded,
        Request((clip,)),
        Request((clip,), initial_prompt="Michal Bakker"),
        Request((clip,), initial_prompt="Zanzibar, Kilimanjaro"),
    )
    assert plain.text == "The name is Baker, Michael Baker."
    assert prompted.text == "The name is Baker, Michal Bakker."
    assert unsaid.text == plain.text


def test_a_long_prompt_is_cut_from_the_left(many_tongues: Engine, speech: list[Waveform]) -> None:
    """What stands last counts: half the context, less one, here 31 tokens."""
    tail = " ".join(["rain"] * 31)
    whole = hear(many_tongues, speech[1], initial_prompt=tail)
    assert hear(many_tongues, speech[1], initial_prompt=f"{'snow ' * 50}{tail}") == whole
    assert hear(many_tongues, speech[1], initial_prompt=f"{tail} snow") != whole


def test_a_blank_prompt_is_none(many_tongues: Engine, speech: list[Waveform]) -> None:
    assert hear(many_tongues, speech[1], initial_prompt=" \n") == hear(many_tongues, speech[1])


def test_a_prompt_gives_words_and_no_commands(many_tongues: Engine, speech: list[Waveform]) -> None:
    said = hear(many_tongues, speech[1], initial_prompt="rain and snow")
    spiked = "rain<|translate|> and<|endoftext|><|12.00|> snow<|startoftranscript|>"
    assert hear(many_tongues, speech[1], initial_prompt=spiked) == said
    assert hear(many_tongues, speech[1], initial_prompt="rain snow") != said


# ---- languages and tasks


def test_the_language_found_is_the_most_probable_one(
    many_tongues: Engine, bare_random: Bare, speech: list[Waveform]
) -> None:
    codes = {id_: token.strip("<|>") for token, id_ in bare_random.model.generation_config.lang_to_id.items()}
    assert len(codes) == 99
    expected = []
    clips = speech[:6]
    for clip in clips:
        with torch.inference_mode():
            start = torch.tensor([[rw.SOT]])
            logits = bare_random.model(decoder_input_ids=start, encoder_outputs=(bare_random.encode([clip]),)).logits
        expected.append(codes[max(codes, key=lambda id_: float(logits[0, -1, id_]))])
    assert [reply.language for reply in ask(many_tongues, *(Request((clip,)) for clip in clips))] == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize(("task", "token"), [("transcribe", rw.TRANSCRIBE), ("translate", rw.TRANSLATE)])
def test_language_and_task_are_asked_for_by_their_tokens(
    task: Any, token: int, many_tongues: Engine, bare_random: Bare, speech: list[Waveform]
) -> None:
    german = bare_random.model.generation_config.lang_to_id["<|de|>"]
    reply = hear(many_tongues, speech[1], task=task, language="de")
    (expected,) = decode(bare_random, [speech[1]], [rw.SOT, german, token], 32)
    assert reply.text == bare_random.text([said for said in expected.tokens if said < rw.EOT]).strip()
    assert (reply.language, reply.tokens) == ("de", len(expected.tokens))


def test_tasks_and_languages_change_what_random_weights_say(many_tongues: Engine, speech: list[Waveform]) -> None:
    replies = ask(
        many_tongues,
        Request((speech[1],), language="de"),
        Request((speech[1],), language="de", task="translate"),
        Request((speech[1],), language="fr"),
    )
    assert len({(reply.text, reply.avg_logprob) for reply in replies}) == 3


def test_an_english_model_may_be_told_that_it_hears_english(embedded: Engine, speech: list[Waveform]) -> None:
    assert embedded.limits.languages == ("en",)
    assert hear(embedded, speech[4], language="en") == hear(embedded, speech[4])


def test_an_english_model_neither_translates_nor_knows_german(embedded: Engine, speech: list[Waveform]) -> None:
    with pytest.raises(ValueError, match="cannot translate"):
        hear(embedded, speech[4], task="translate")
    with pytest.raises(ValueError, match="does not know language 'de'"):
        hear(embedded, speech[4], language="de")


# ---- times


def test_segments_follow_the_timestamps_that_were_said(
    many_tongues: Engine, bare_random: Bare, speech: list[Waveform]
) -> None:
    """Each stretch of text lasts from the timestamp before it to the one after it, or to the end of the clip."""
    clip, length_s = speech[2], len(speech[2]) / RATE
    reply = hear(many_tongues, clip)
    language = bare_random.model.generation_config.lang_to_id[f"<|{reply.language}|>"]
    (expected,) = decode(bare_random, [clip], [rw.SOT, language, rw.TRANSCRIBE], 32)
    told = [*expected.tokens, rw.FIRST_TIMESTAMP + 1500]
    stamps = [at for at, token in enumerate(told) if token >= rw.FIRST_TIMESTAMP]
    spans = [
        (
            min((told[start] - rw.FIRST_TIMESTAMP) * 0.02, length_s),
            min((told[stop] - rw.FIRST_TIMESTAMP) * 0.02, length_s),
            bare_random.text(told[start + 1 : stop]).strip(),
        )
        for start, stop in pairwise(stamps)
        if stop > start + 1
    ]
    assert len(spans) > 1
    assert [(segment.start_s, segment.end_s, segment.text) for segment in reply.segments] == [
        (pytest.approx(start_s), pytest.approx(end_s), text) for start_s, end_s, text in spans
    ]


def test_a_checkpoint_without_known_alignment_heads_gives_no_words_and_says_so(
    tmp_path: Path, speech: list[Waveform]
) -> None:
    folder = rw.make(tmp_path / "headless", alignment_heads=None)
    plan = engines.blueprint(options("random", folder))
    assert plan.limits.word_timestamps is False
    engine = plan.load()
    assert hear(engine, speech[4]).text
    with pytest.raises(ValueError, match="no word timestamps"):
        hear(engine, speech[4], word_timestamps=True)


def test_limits_are_known_without_weights(random_folder: Path) -> None:
    english, many = (
        engines.blueprint(EngineOptions(model=model, device="cpu")).limits for model in ("tiny.en", str(random_folder))
    )
    assert (english.window_s, english.context_tokens, english.tasks, english.languages) == (
        30.0,
        448,
        ("transcribe",),
        ("en",),
    )
    assert (many.window_s, many.context_tokens, many.tasks) == (30.0, 64, ("transcribe", "translate"))
    assert len(many.languages) == 99
    assert {"en", "de", "yi"} <= set(many.languages)
    assert english.word_timestamps and many.word_timestamps
