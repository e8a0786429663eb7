"""Qwen2-Audio: all of a clip is heard, as transformers itself would hear it, and what users write is text."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_qwen2_audio as rq
import torch
from conftest import ROOT, Recording, options, read
from hypothesis import given
from hypothesis import strategies as st

from audiocli import engines
from audiocli.engines import Engine, EngineOptions, Sampling, checkpoints
from audiocli.engines.families import Model, qwen2_audio, qwen2_audio_model
from audiocli.engines.families.qwen2_audio import audio_tokens
from audiocli.engines.transformers_ import TransformersEngine
from audiocli.errors import EngineError, ModelError, UsageError
from audiocli.records import RATE, Reply, Request, Waveform

SHORT = Sampling(max_new_tokens=24)


def loaded(folder: Path, **more: Any) -> Engine:
    return engines.blueprint(options("qwen2-audio", folder, **{"sampling": SHORT, **more})).load()


@pytest.fixture(scope="module")
def engine(qwen2_audio_folder: Path) -> Engine:
    return loaded(qwen2_audio_folder, clips_per_request=3)


@pytest.fixture(scope="module")
def model(qwen2_audio_folder: Path) -> Model:
    """The model without an engine around it."""
    asked = EngineOptions(clips_per_request=3, sampling=SHORT)
    return qwen2_audio.load(checkpoints.find(str(qwen2_audio_folder)), "cpu", "float32", asked)


@dataclass(frozen=True, slots=True, eq=False)
class ByHand:
    """transformers' own model and processor, with none of our code around them."""

    model: Any
    processor: Any

    def given(self, request: Request, **feature_settings: Any) -> Any:
        content = [
            *({"type": "audio", "audio": clip} for clip in request.clips),
            {"type": "text", "text": request.prompt},
        ]
        system = [{"role": "system", "content": request.system}] if request.system else []
        return self.processor.apply_chat_template(
            [*system, {"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            **feature_settings,
        )

    def answer(self, request: Request, **settings: Any) -> str:
        given = self.given(request)
        with torch.inference_mode():
            output = self.model.generate(**given, max_new_tokens=24, do_sample=False, **settings)
        said = output[0, given["input_ids"].shape[1] :]
        return str(self.processor.decode(said, skip_special_tokens=True)).strip()


@pytest.fixture(scope="module")
def by_hand(qwen2_audio_folder: Path) -> ByHand:
    from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

    model = Qwen2AudioForConditionalGeneration.from_pretrained(qwen2_audio_folder, dtype=torch.float32).eval()
    return ByHand(model, AutoProcessor.from_pretrained(qwen2_audio_folder))


@pytest.fixture(scope="module")
def mixed(meeting: Recording, pauses: Recording) -> list[Request]:
    """One clip of several lengths, several clips, the same clips in another order, and none."""
    long, short, other = pauses.cut(0, 30), meeting.cut(35.1, 37.4), meeting.cut(5.6, 8.9)
    return [
        Request((short,), "What does the person say?"),
        Request((long,), "Write down every word.", "You write down speech."),
        Request((short, other, long), "Who speaks first?", task="answer"),
        Request((other, short), "Who speaks first?", task="answer"),
        Request((), "What is a harbour?", task="answer"),
    ]


# ---- the same as transformers


def test_answers_are_those_of_transformers_alone_and_in_company(
    model: Model, by_hand: ByHand, mixed: list[Request]
) -> None:
    expected = [by_hand.answer(request) for request in mixed]
    assert len(set(expected)) == len(expected), "else this proves little"
    assert [reply.text for reply in model.answer(mixed)] == expected
    assert [model.answer([request])[0].text for request in mixed] == expected


def test_a_repetition_penalty_is_that_of_transformers(
    qwen2_audio_folder: Path, by_hand: ByHand, mixed: list[Request], tmp_path: Path
) -> None:
    """Whether it is asked for, or its makers advise it in generation_config.json; their sampling is not heeded."""
    advised = rq.make(tmp_path / "advised", repetition_penalty=1.3, do_sample=True, temperature=2.0, top_k=5)
    expected = [by_hand.answer(request, repetition_penalty=1.3) for request in mixed[:2]]
    told = loaded(qwen2_audio_folder, sampling=replace(SHORT, repetition_penalty=1.3))
    for one in (told, loaded(advised)):
        assert [reply.text for reply in answers(one, mixed[:2])] == expected
    assert expected != [by_hand.answer(request) for request in mixed[:2]]


def answers(engine: Engine, requests: Sequence[Request]) -> list[Reply]:
    replies = engine.generate(requests)
    assert all(isinstance(reply, Reply) for reply in replies)
    return [reply for reply in replies if isinstance(reply, Reply)]


def test_logits_are_those_of_transformers(qwen2_audio_folder: Path, by_hand: ByHand, mixed: list[Request]) -> None:
    """Within 1e-5, of the position that the answer follows: alone, and padded in a batch."""
    prompts, model = parts(qwen2_audio_folder)
    with torch.inference_mode():
        inputs = dict(prompts.prepare(mixed))
        inputs.pop("input_ids")
        positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp_min(0)
        together = model(**inputs, position_ids=positions).logits[:, -1]
        for request, logits in zip(mixed, together, strict=True):
            expected = by_hand.model(**by_hand.given(request)).logits[0, -1]
            assert torch.allclose(logits, expected, atol=1e-5)


def parts(folder: Path, pool: int = 2) -> tuple[qwen2_audio_model.Prompts, Any]:
    """What lays out the prompts, and the model of transformers that hears them."""
    from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

    model = Qwen2AudioForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder)
    ear = qwen2_audio_model.Ear(model, processor.feature_extractor, pool)
    return qwen2_audio_model.Prompts(model, processor, ear), model


def test_a_batch_answers_as_its_members_alone_through_the_engine(engine: Engine, mixed: list[Request]) -> None:
    together = answers(engine, mixed)
    for request, reply in zip(mixed, together, strict=True):
        (alone,) = answers(engine, [request])
        assert replace(reply, avg_logprob=None) == replace(alone, avg_logprob=None)
        assert reply.avg_logprob == pytest.approx(alone.avg_logprob, abs=1e-3)


# ---- all of it is heard


@pytest.fixture(scope="module")
def five_minutes(meeting: Recording, pauses: Recording, call: Recording) -> Waveform:
    """Speech of three recordings, end to end: 5 minutes."""
    sound = np.concatenate([pauses.sound, meeting.sound, call.sound, read(ROOT / "samples" / "meeting.mp3")])
    assert len(sound) >= 300 * RATE
    return np.ascontiguousarray(sound[: 300 * RATE])


def test_five_minutes_are_heard_to_the_last_second_of_every_window(
    qwen2_audio_folder: Path, five_minutes: Waveform, call: Recording, by_hand: ByHand
) -> None:
    """Each piece has the tokens that transformers gives it, and another last second is another answer."""
    prompts, _ = parts(qwen2_audio_folder)
    engine = loaded(qwen2_audio_folder, sampling=Sampling(max_new_tokens=8))
    loudest = max((call.cut(second, second + 1) for second in range(60)), key=lambda one: float(np.square(one).sum()))
    for length_s, last in ((30.0, 10), (21.7, 2)):
        size = round(length_s * RATE)
        pieces = [five_minutes[start : start + size] for start in range(0, len(five_minutes), size)][-last:]
        changed = [np.concatenate([piece[:-RATE], loudest]) for piece in pieces if len(piece) > RATE]
        for piece in pieces:
            request = Request((piece,), "Write")
            with torch.inference_mode():
                ids = prompts.prepare([request])["input_ids"]
            assert torch.equal(ids, by_hand.given(request)["input_ids"])
            assert int((ids == prompts._audio_id).sum()) == audio_tokens(len(piece))
        before, after = (answers(engine, [Request((clip,), "Write") for clip in some]) for some in (pieces, changed))
        for one, other in zip(before, after, strict=False):
            assert (one.text, one.avg_logprob) != (other.text, other.avg_logprob)


@pytest.mark.parametrize(
    ("length_s", "tokens", "halved"),
    [(30.0, 750, 375), (29.99, 750, 375), (10.0, 250, 125), (1.0, 25, 12), (0.1, 2, 1), (0.05, 2, 1), (1e-4, 2, 1)],
)
def test_tokens_are_25_a_second(length_s: float, tokens: int, halved: int) -> None:
    assert audio_tokens(round(length_s * RATE) or 1) == tokens
    assert audio_tokens(round(length_s * RATE) or 1, 4) == halved


@given(st.integers(1600, 480_000))
def test_tokens_are_counted_as_the_processor_counts_them(samples: int) -> None:
    frames = min(-(-samples // 160), 3000)
    assert audio_tokens(samples) == (((frames - 1) // 2 + 1) - 2) // 2 + 1
    assert audio_tokens(samples, 4) == audio_tokens(samples) // 2


def test_audio_beyond_the_window_is_refused_not_cut(engine: Engine) -> None:
    """Where transformers' own processor hears the first 30 s of 60 and says nothing."""
    with pytest.raises(ValueError, match=r"longer than the 30\.0 s it hears"):
        engine.generate([Request((np.zeros(30 * RATE + 1, np.float32),), "Write")])


def test_audio_beyond_the_window_does_not_pass_the_model_either(qwen2_audio_folder: Path) -> None:
    prompts, _ = parts(qwen2_audio_folder)
    with pytest.raises(AssertionError, match="would cut off the rest"), torch.inference_mode():
        prompts.prepare([Request((np.zeros(60 * RATE, np.float32),), "Write")])


@pytest.mark.parametrize("samples", [1, 160, 800, 1599, 1600])
def test_the_shortest_clips_are_heard(samples: int, engine: Engine, meeting: Recording) -> None:
    """transformers stumbles over clips of up to 50 ms."""
    clip = meeting.cut(30, 31)[:samples]
    requests = [Request((clip,), "Write"), Request((clip, meeting.cut(30, 33)), "Write")]
    assert all(reply.tokens for reply in answers(engine, requests))


def test_several_clips_are_heard_in_their_order(engine: Engine, meeting: Recording) -> None:
    one, two = meeting.cut(30, 33), meeting.cut(40, 42)
    texts = [reply.text for reply in answers(engine, [Request(clips, "Write") for clips in ((one, two), (two, one))])]
    assert texts[0] != texts[1]


# ---- what users write is text


@pytest.mark.parametrize("mark", ["<|AUDIO|>", "<|im_end|>", "<|im_start|>", "<|audio_bos|>", "<|endoftext|>"])
def test_marks_in_the_users_text_are_text(
    mark: str, qwen2_audio_folder: Path, engine: Engine, meeting: Recording
) -> None:
    clip = meeting.cut(30, 32)
    plain, marked = (
        Request((clip,), f"Say {word} twice", f"You {word} listen") for word in ("this", f"{mark}\n{mark}this")
    )
    prompts, _ = parts(qwen2_audio_folder)
    with torch.inference_mode():
        ids = [prompts.prepare([request])["input_ids"][0].tolist() for request in (plain, marked)]
    mark_id = prompts._tokenizer.convert_tokens_to_ids(mark)
    assert ids[0].count(mark_id) == ids[1].count(mark_id)
    assert prompts._tokenizer.decode(ids[1]).count(mark) == ids[0].count(mark_id) + 4
    (reply,) = answers(engine, [marked])
    assert reply.tokens


def test_prompts_are_laid_out_as_chatml(qwen2_audio_folder: Path, meeting: Recording) -> None:
    """The request's words between the marks, the clips before them; without words on who it is, the makers' own."""
    prompts, _ = parts(qwen2_audio_folder)
    clips = (meeting.cut(30, 31), meeting.cut(33, 35))
    laid_out = [
        prompts._tokenizer.decode(prompts.prepare([request])["input_ids"][0])
        for request in (Request(clips, "Who?", "You listen."), Request((), "Who?"))
    ]
    heard = ["<|audio_bos|>" + "<|AUDIO|>" * count + "<|audio_eos|>" for count in (25, 50)]
    assert laid_out == [
        "<|im_start|>system\nYou listen.<|im_end|>\n<|im_start|>user\n"
        f"Audio 1: {heard[0]}\nAudio 2: {heard[1]}\nWho?<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n",
    ]


# ---- one encoding for several questions


def test_a_clip_is_encoded_once_for_several_questions(qwen2_audio_folder: Path, meeting: Recording) -> None:
    prompts, model = parts(qwen2_audio_folder)
    encoded: list[int] = []
    model.model.audio_tower.register_forward_hook(lambda _, given, __: encoded.append(len(given[0])))
    one, two = meeting.cut(30, 33), meeting.cut(40, 42)
    questions = [Request((clip,), prompt) for clip in (one, two) for prompt in ("Who?", "What?", "Why?")]
    with torch.inference_mode():
        first = prompts.prepare(questions)
        again = prompts.prepare([replace(request, clips=(request.clips[0].copy(),)) for request in questions])
    assert encoded == [2], "both at once"
    assert torch.equal(first["inputs_embeds"], again["inputs_embeds"])


# ---- half the tokens


def test_downsampling_by_4_takes_half_the_tokens_and_hears_all(
    qwen2_audio_folder: Path, meeting: Recording, pauses: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    long, short = pauses.cut(0, 30), meeting.cut(35.1, 37.4)
    plan = engines.blueprint(options("qwen2-audio", qwen2_audio_folder, downsample=4, sampling=SHORT))
    assert plan.limits.audio_tokens_per_s == 12.5
    with caplog.at_level(logging.WARNING):
        engine = plan.load()
    assert "--downsample 4 is experimental" in caplog.text
    requests = [Request((clip,), "Write") for clip in (long, short, long[: 29 * RATE])]
    together = answers(engine, requests)
    assert [reply.text for reply in together] == [answers(engine, [request])[0].text for request in requests]
    assert len({(reply.text, reply.avg_logprob) for reply in together}) == 3


@pytest.mark.parametrize(
    ("length_s", "tokens"), [(30.0, 750), (29.99, 750), (12.345, 309), (10.0, 250), (2.3, 57), (1.0, 25), (0.1, 2)]
)
def test_downsampling_by_4_halves_what_reaches_the_language_model(
    length_s: float, tokens: int, qwen2_audio_folder: Path, meeting: Recording
) -> None:
    """Exactly; of an odd number the last token goes, 40 ms."""
    request = Request((meeting.cut(27, 27 + length_s),), "Write")
    counts = []
    for pool in (2, 4):
        prompts, _ = parts(qwen2_audio_folder, pool)
        with torch.inference_mode():
            counts.append(int((prompts.prepare([request])["input_ids"] == prompts._audio_id).sum()))
    assert counts == [tokens, tokens // 2]


def test_what_is_pooled_by_4_is_the_mean_of_four_states(qwen2_audio_folder: Path, meeting: Recording) -> None:
    """Of the encoder's last layer, before it is normed and projected."""
    clip = meeting.cut(30, 40)
    prompts, model = parts(qwen2_audio_folder, 4)
    states: list[torch.Tensor] = []
    tower = model.model.audio_tower
    tower.layers[-1].register_forward_hook(lambda *found: states.append(found[-1]))
    with torch.inference_mode():
        heard = prompts._ear.hear([clip])[0]
        pooled = states[0][0, :500].reshape(125, 4, -1).mean(1)
        assert torch.allclose(heard, model.model.multi_modal_projector(tower.layer_norm(pooled)), atol=1e-5)


# ---- limits and refusals


def test_limits_are_known_without_weights(qwen2_audio_folder: Path) -> None:
    limits = engines.blueprint(options("qwen2-audio", qwen2_audio_folder, clips_per_request=10)).limits
    assert (limits.window_s, limits.clips_per_request, limits.context_tokens) == (30.0, 10, 8192)
    assert limits.follows_prompts and limits.text_only and not limits.timestamps
    assert limits.tasks == ("transcribe", "translate", "answer")
    assert limits.audio_tokens_per_s == 25.0


def test_a_config_that_names_no_context_has_that_of_the_published_model() -> None:
    assert qwen2_audio.limits({"model_type": "qwen2_audio"}, {}, EngineOptions()).context_tokens == 8192


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"clips_per_request": 11}, "11 clips in one request: Qwen2-Audio takes 1 to 10"),
        ({"downsample": 3}, "no downsampling by 3: Qwen2-Audio pools by 2, and by 4"),
    ],
)
def test_more_than_it_has_is_refused_at_once(settings: dict[str, int], why: str, qwen2_audio_folder: Path) -> None:
    with pytest.raises(UsageError, match=why):
        engines.blueprint(options("qwen2-audio", qwen2_audio_folder, **settings))


def test_a_question_beyond_the_context_fails_alone(tmp_path: Path, meeting: Recording) -> None:
    """Past its last position a model answers nonsense, and says nothing of it."""
    engine = loaded(rq.make(tmp_path / "narrow", positions=512))
    clip = meeting.cut(30, 33)
    good, long = Request((clip,), "Who?"), Request((clip,), "word " * 400)
    before, failed, after = engine.generate([good, long, good])
    assert isinstance(failed, EngineError)
    assert "the model has 512" in str(failed)
    assert isinstance(before, Reply) and before == after


def test_ten_clips_of_a_full_window_fit_the_published_context(qwen2_audio_folder: Path) -> None:
    asked = EngineOptions(clips_per_request=10)
    model = qwen2_audio.load(checkpoints.find(str(qwen2_audio_folder)), "cpu", "float32", asked)
    request = Request((np.zeros(30 * RATE, np.float32),) * 10, "What is said? " * 20, task="answer")
    assert 7500 + 512 <= model.size(request) <= 8192


def test_ten_clips_of_a_full_window_are_all_heard_in_one_message(
    qwen2_audio_folder: Path, five_minutes: Waveform
) -> None:
    """7,500 of 8,192 positions: the answer gets what is left, and a question that leaves too little fails alone."""
    engine = loaded(qwen2_audio_folder, clips_per_request=10, sampling=Sampling(max_new_tokens=4))
    length = 30 * RATE
    clips = tuple(five_minutes[at * length : (at + 1) * length] for at in range(10))
    ended = (*clips[:-1], np.concatenate([clips[-1][:-RATE], clips[0][:RATE]]))
    asked = [Request(some, "What is said?", task="answer") for some in (clips, ended)]
    long = replace(asked[0], prompt="word " * 700)
    before, failed, after = engine.generate([asked[0], long, asked[1]])
    assert isinstance(before, Reply) and isinstance(after, Reply) and before.tokens == 4
    assert (before.text, before.avg_logprob) != (after.text, after.avg_logprob)
    assert isinstance(failed, EngineError) and "the model has 8192" in str(failed)
    prompts, _ = parts(qwen2_audio_folder)
    with torch.inference_mode():
        ids = prompts.prepare(asked[:1])["input_ids"]
    assert int((ids == prompts._audio_id).sum()) == 7500
    assert ids.shape[1] + 4 < 8192


def test_an_answer_beside_ten_clips_has_the_room_that_is_left(qwen2_audio_folder: Path) -> None:
    """Asked for more than that, it is cut short and says so, and nothing is refused."""
    asked = EngineOptions(clips_per_request=10, sampling=Sampling(max_new_tokens=2000))
    model = qwen2_audio.load(checkpoints.find(str(qwen2_audio_folder)), "cpu", "float32", asked)
    request = Request((np.zeros(30 * RATE, np.float32),) * 10, "What is said?", task="answer")
    assert model.size(request) == 8192
    assert model.size(replace(request, clips=request.clips[:1])) < 8192


# ---- clips of a batch are encoded together


def test_clips_encoded_together_are_heard_as_alone(qwen2_audio_folder: Path, meeting: Recording) -> None:
    """More of them than are encoded at once, short and long."""
    lengths_s = [0.01, 30.0, 1.0, 7.77, 29.99, 3.3, 0.5, 12.0, 2.0, 5.0]
    clips = [meeting.cut(27, 27 + length_s) for length_s in lengths_s]
    assert len(clips) > qwen2_audio_model.TOGETHER
    prompts, _ = parts(qwen2_audio_folder)
    single, _ = parts(qwen2_audio_folder)
    with torch.inference_mode():
        together = prompts._ear.hear(clips)
        for clip, heard in zip(clips, together, strict=True):
            (alone,) = single._ear.hear([clip])
            assert heard.shape == alone.shape == (audio_tokens(len(clip)), 64)
            assert torch.allclose(heard, alone, atol=1e-5)


# ---- broken checkpoints


def spoil_tokenizer(folder: Path) -> None:
    edit(folder / "config.json", audio_token_index=7)


def spoil_features(folder: Path) -> None:
    file = folder / "processor_config.json"
    found = json.loads(file.read_text())
    found["feature_extractor"]["feature_size"] = 80
    file.write_text(json.dumps(found))


def spoil_weights(folder: Path) -> None:
    found = json.loads((folder / "config.json").read_text())
    found["text_config"]["num_hidden_layers"] = 3
    edit(folder / "config.json", text_config={**found["text_config"], "layer_types": None})


def edit(file: Path, **settings: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (spoil_tokenizer, "its tokenizer is missing, or of another model"),
        (spoil_features, "80 mel bins are extracted, and 128 are heard"),
        (spoil_weights, "12 weights are not there or not of the shape in config.json"),
    ],
)
def test_a_checkpoint_that_does_not_fit_together_is_refused(
    spoil: Callable[[Path], None], why: str, qwen2_audio_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(qwen2_audio_folder, tmp_path / "mine"))
    spoil(folder)
    with pytest.raises(ModelError, match=f"model 'mine' cannot be loaded: .*{why}"):
        loaded(folder)


# ---- memory


class Tight:
    """A model that runs out of memory in the middle of an answer, when it has more to hear than it has room for."""

    def __init__(self, model: Model, seconds: float) -> None:
        self.kind, self.size = model.kind, model.size
        self.tried: list[int] = []
        self._model, self._seconds = model, seconds

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        self.tried.append(len(requests))
        replies = self._model.answer(requests)
        heard_s = sum(len(clip) for request in requests for clip in request.clips) / RATE
        if heard_s > self._seconds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return replies


def test_memory_running_out_in_a_mixed_batch_loses_nothing(model: Model, mixed: list[Request], engine: Engine) -> None:
    """Long and short, several clips and none: each is answered once, in its place, and what never fits fails alone."""
    expected = answers(engine, mixed)
    for seconds, lost in ((60.0, ()), (33.0, (2,)), (6.0, (1, 2))):
        tight = Tight(model, seconds)
        replies = TransformersEngine(engine.limits, tight, 8).generate(mixed)
        assert len(replies) == len(mixed)
        for index, reply in enumerate(replies):
            if index in lost:
                assert isinstance(reply, EngineError) and "one window at a time" in str(reply)
            else:
                assert isinstance(reply, Reply)
                assert reply.text == expected[index].text
        assert max(tight.tried) > 1


def test_batches_have_no_more_rows_than_there_is_room_for(model: Model, mixed: list[Request], engine: Engine) -> None:
    """Rows × the longest size stay below what the device holds; an explicit size of the batch is kept to, too."""
    rooms: list[int] = []

    def room(tokens: int, longest: int) -> int:
        rooms.append(longest)
        return max(1, tokens // longest)

    tight = Tight(model, 1e9)
    requests = [*mixed, *mixed]
    longest = max(map(model.size, requests))
    replies = TransformersEngine(engine.limits, tight, 3, partial(room, 2 * longest)).generate(requests)
    assert [reply.text for reply in replies if isinstance(reply, Reply)] == [
        reply.text for reply in answers(engine, requests)
    ]
    assert rooms[0] == longest
    assert tight.tried[0] == 2, "two of the longest fit"
    assert max(tight.tried) == 3, "more of the shorter ones would"


# ---- eight and four bits


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantized_weights_answer_a_batch_as_its_members(bits: str, tmp_path: Path, meeting: Recording) -> None:
    """The language model is shrunk, the ear is not; bitsandbytes runs on a CPU, too."""
    for package in ("bitsandbytes", "accelerate"):
        pytest.importorskip(package, reason=f"{package} is an extra")
    folder = rq.make(tmp_path / "wide", hidden=256)
    plan = engines.blueprint(options("qwen2-audio", folder, quantize=bits))
    assert plan.settings["quantize"] == bits
    assert set(plan.libraries) == {"torch", "transformers", "bitsandbytes"}
    engine = plan.load()
    clips = [meeting.cut(start, stop) for start, stop in ((0, 9), (33, 37), (40, 41))]
    requests = [Request((clip,), "Write", max_new_tokens=12) for clip in clips]
    together = answers(engine, requests)
    assert [reply.text for reply in together] == [answers(engine, [request])[0].text for request in requests]
    exact = answers(loaded(folder), requests)
    assert [reply.avg_logprob for reply in exact] != [reply.avg_logprob for reply in together]


def test_quantizing_keeps_the_ear_exact(tmp_path: Path) -> None:
    """A list of names without their prefix would be passed over without a word, and the encoder shrunk, too."""
    for package in ("bitsandbytes", "accelerate"):
        pytest.importorskip(package, reason=f"{package} is an extra")
    from transformers import Qwen2AudioForConditionalGeneration

    from audiocli.engines.families.loading import pretrained

    folder = rq.make(tmp_path / "wide", hidden=256)
    for bits, kind in (("8bit", "Linear8bitLt"), ("4bit", "Linear4bit")):
        asked = EngineOptions(quantize=bits)  # type: ignore[arg-type]
        model = pretrained(
            Qwen2AudioForConditionalGeneration, folder, "cpu", "float32", asked, exact=qwen2_audio_model.EXACT
        )
        shrunk = {name for name, module in model.named_modules() if type(module).__name__ == kind}
        assert len(shrunk) == 14
        assert all(name.startswith("model.language_model.") for name in shrunk)
