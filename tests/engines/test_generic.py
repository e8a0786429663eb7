"""The audio-LLMs of many makers: counts of audio tokens, what reaches the model, and who shares a batch with whom."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import random_audio_llms
import torch
import transformers as tf
from conftest import Recording
from hypothesis import given
from hypothesis import strategies as st

from audiocli.engines import Engine, EngineOptions, Sampling, blueprint, families
from audiocli.engines.checkpoints import Checkpoint
from audiocli.engines.families import generic, generic_inputs, generic_model
from audiocli.engines.families.generic import ROWS
from audiocli.engines.families.generic_model import LAYOUTS, Generic
from audiocli.errors import EngineError, ModelError, UsageError
from audiocli.records import RATE, Reply, Request, Waveform

HAS_MISTRAL = generic.missing(["mistral-common"]) is None
HAS_PEFT = generic.missing(["peft"]) is None
NAMES = [name for name in random_audio_llms.MAKE if name in ROWS and (name != "voxtral" or HAS_MISTRAL)]
UNLIKE = [name for name in NAMES if name not in ("qwen2_5_omni", "qwen3_omni_moe")]
"""Without those that are the same as their thinkers."""
ASKED = [name for name in UNLIKE if ROWS[name].follows_prompts]
EDGES = [seconds * RATE + more for seconds in (1, 2, 15) for more in (-1, 0, 1, 159, 160)]
LENGTHS = st.integers(400, 20 * RATE) | st.sampled_from(EDGES)

THINKING = re.compile(r"(model\.)?(language_model\.)?(model\.)?(layers\.\d+\..+|lm_head)")
"""Full names of the linear layers of language models."""

Make = Callable[[str], Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """The small checkpoint of one model type, made when first asked for."""
    return cache(lambda name: random_audio_llms.make(name, tmp_path_factory.mktemp("models") / name))


@pytest.fixture(scope="module")
def engine(folder: Make) -> Callable[[str], Engine]:
    return cache(lambda name: load(folder(name)))


def load(folder: Path, **more: Any) -> Engine:
    sampling = Sampling(max_new_tokens=10)
    options = EngineOptions(model=str(folder), device="cpu", dtype="fp32", batch_size=8, offline=True)
    return blueprint(replace(options, sampling=sampling, **more)).load()


def layout(folder: Path, name: str) -> Any:
    return LAYOUTS.get(name, generic_inputs.Processor)(folder, ROWS[name])


def checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(folder.name, folder, "1")


def answers(engine: Engine, requests: list[Request]) -> list[Reply]:
    replies = engine.generate(requests)
    assert all(isinstance(reply, Reply) for reply in replies), replies
    return list(replies)  # type: ignore[arg-type]


def noise(samples: int, seed: int = 0) -> Waveform:
    return np.random.default_rng(seed).uniform(-0.2, 0.2, samples).astype(np.float32)


def tone(seconds: float) -> Waveform:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


# ---- the table


def test_every_type_that_is_sent_here_is_in_the_table() -> None:
    sent = {name for name, spec in families.FAMILIES.items() if spec.module == generic.__name__}
    assert sent == set(ROWS)


def test_no_model_gets_more_than_it_hears() -> None:
    """Nothing over 5 minutes is ever asked at once; types that nobody knows get half a minute."""
    assert all(row.window_s <= 300 for row in ROWS.values())
    assert generic.UNKNOWN.window_s == 30


def test_gemma_3n_is_refused_with_the_reason_in_one_line() -> None:
    with pytest.raises(ModelError, match=r"^models of type gemma3n .* timm and torchvision, even for audio alone$"):
        generic.limits({"model_type": "gemma3n"}, {}, EngineOptions())


def test_more_clips_than_a_model_takes_are_refused() -> None:
    assert generic.limits({"model_type": "voxtral"}, {}, EngineOptions(clips_per_request=10)).clips_per_request == 10
    with pytest.raises(UsageError, match="take 1 clips in one message at most, not 2"):
        generic.limits({"model_type": "qwen3_asr"}, {}, EngineOptions(clips_per_request=2))


def test_a_package_that_is_not_installed_is_named() -> None:
    assert generic.missing(["torch", "no-such-package", "numpy"]) == "no-such-package"
    assert generic.missing(["torch", "numpy"]) is None


@pytest.mark.parametrize("name", NAMES)
def test_the_context_is_read_wherever_the_configuration_keeps_it(folder: Make, name: str) -> None:
    config = json.loads((folder(name) / "config.json").read_text(encoding="utf-8"))
    assert generic.limits(config, {}, EngineOptions()).context_tokens == 32768
    assert generic.hears(config)


def test_what_only_reads_does_not_hear() -> None:
    assert not generic.hears(tf.LlamaConfig().to_dict())
    assert not generic.hears(tf.WhisperConfig().to_dict())


# ---- audio tokens, against the makers' own arithmetic


@pytest.mark.parametrize("name", ["audioflamingo3", "glmasr", "qwen3_asr"])
@pytest.mark.parametrize("samples", [1600, 7999, 8000, 8001, 36_803, 124_800, 479_841, 480_000, 480_161, 1_504_007])
def test_a_processor_makes_as_many_tokens_as_the_table_says(folder: Make, name: str, samples: int) -> None:
    found = laid_out(folder(name), name)(Request((noise(samples),), "What?"))
    processor = laid_out(folder(name), name).processor
    assert int((found["input_ids"] == processor.audio_token_id).sum()) == ROWS[name].tokens(samples)  # type: ignore[misc]


@cache
def laid_out(folder: Path, name: str) -> Any:
    return layout(folder, name)


@given(LENGTHS)
def test_qwen_omni_counts_as_its_makers(samples: int) -> None:
    from transformers.models.qwen2_5_omni.processing_qwen2_5_omni import _get_feat_extract_output_lengths as pooled
    from transformers.models.qwen3_omni_moe.processing_qwen3_omni_moe import _get_feat_extract_output_lengths as tens

    assert generic.ROWS["qwen2_5_omni"].tokens(samples) == pooled(-(-samples // 160))  # type: ignore[misc]
    assert generic.ROWS["qwen3_omni_moe"].tokens(samples) == tens(samples // 160)  # type: ignore[misc]


@given(LENGTHS)
def test_granite_counts_as_its_makers(samples: int) -> None:
    """Their extractor cannot be made without torchaudio; its arithmetic needs no more than its settings."""
    settings = SimpleNamespace(
        melspec_kwargs={"hop_length": 160}, projector_window_size=15, projector_downsample_rate=5
    )
    from transformers.models.granite_speech.feature_extraction_granite_speech import GraniteSpeechFeatureExtractor

    due = GraniteSpeechFeatureExtractor._get_num_audio_features(settings, [samples])
    assert [ROWS["granite_speech"].tokens(samples)] == due  # type: ignore[misc]


@pytest.mark.parametrize("samples", [1600, 1680, 1681, 36_803, 124_800, 640_000])
def test_phi_4_counts_as_its_makers(samples: int) -> None:
    found = tf.Phi4MultimodalFeatureExtractor()([noise(samples)], sampling_rate=RATE)
    assert [ROWS["phi4_multimodal"].tokens(samples)] == found["audio_embed_sizes"].tolist()  # type: ignore[misc]


def test_the_usual_figures_of_half_a_minute() -> None:
    due = {"audioflamingo3": 750, "glmasr": 375, "granite_speech": 300, "phi4_multimodal": 375}
    due |= {"qwen2_5_omni": 750, "qwen3_asr": 390, "qwen3_omni_moe": 390, "voxtral": 375}
    assert {name: ROWS[name].tokens(30 * RATE) for name in due} == due  # type: ignore[misc]
    for name in due:
        assert abs(ROWS[name].tokens_per_s * 30 - due[name]) <= 1


# ---- what is answered


def test_qwen3_omni_hears_less_than_a_second_apart_from_other_lengths(folder: Make, meeting: Recording) -> None:
    """Its encoder fills up a batch of such clips to the longest, and each of them changes by it."""
    name = "qwen3_omni_moe_thinker"
    model = Generic(checkpoint(folder(name)), "cpu", "float32", EngineOptions(sampling=Sampling(max_new_tokens=6)))
    short, longer, second = (Request((meeting.cut(28, 28 + length_s),), "What?") for length_s in (0.3, 0.7, 1.0))
    both = Request((*short.clips, *second.clips), "What?")
    assert model.answer([short, longer])[0] != model.answer([short])[0], "else they could share a batch"
    assert len({model.kind(request) for request in (short, longer, second)}) == 3
    assert model.kind(second) == model.kind(both) == model.kind(Request((meeting.cut(30, 40),), "What?"))
    together = model.answer([both, second])
    alone = [model.answer([request])[0] for request in (both, second)]
    assert [replace(reply, avg_logprob=None) for reply in together] == [
        replace(reply, avg_logprob=None) for reply in alone
    ]
    for reply, due in zip(together, alone, strict=True):
        assert reply.avg_logprob == pytest.approx(due.avg_logprob, abs=1e-3)


@pytest.mark.parametrize("name", UNLIKE)
def test_the_mark_of_a_clip_is_never_said(folder: Make, name: str) -> None:
    """Phi-4 would look for the audio of it, and end the run; its answer goes on with the next best instead."""
    model = Generic(checkpoint(folder(name)), "cpu", "float32", EngineOptions(sampling=Sampling(max_new_tokens=4)))
    output, mark = model._model.get_output_embeddings(), model._layout.audio_id
    wants = torch.zeros(output.out_features)
    wants[mark] = 1e6
    output.register_forward_hook(lambda _, __, logits: logits + wants)
    said: list[int] = []
    decode = model._layout.tokenizer.decode
    model._chat._tokenizer = SimpleNamespace(
        encode=model._layout.tokenizer.encode, decode=lambda ids, **more: said.extend(ids) or decode(ids, **more)
    )
    model.answer([Request((tone(1),), "What?"), Request((tone(1),), "What is said?")])
    assert said and mark not in said


@pytest.mark.parametrize("name", UNLIKE)
def test_only_the_last_position_is_put_into_words(folder: Make, meeting: Recording, name: str) -> None:
    """The logits of all that is heard would take more memory than anything else."""
    model = Generic(checkpoint(folder(name)), "cpu", "float32", EngineOptions(sampling=Sampling(max_new_tokens=2)))
    positions: list[int] = []
    model._model.get_output_embeddings().register_forward_hook(
        lambda _, given_, __: positions.append(given_[0].shape[1])
    )
    model.answer([Request((meeting.cut(28, 30),), "What is said?")])
    assert positions and set(positions) == {1}


@pytest.mark.parametrize("name", ["granite_speech", "phi4_multimodal"])
def test_where_the_encoder_does_not_mask_only_equal_lengths_share_a_batch(folder: Make, name: str) -> None:
    """The pair that fills the other up gives another answer than alone: so they are not asked together."""
    model = Generic(checkpoint(folder(name)), "cpu", "float32", EngineOptions(sampling=Sampling(max_new_tokens=6)))
    long, short = (Request((noise(length, seed=3),), "What?") for length in (8 * RATE, 3 * RATE))
    other = replace(long, clips=(noise(8 * RATE, seed=4),))
    assert model.kind(long) == model.kind(other) != model.kind(short)
    assert model.answer([long, other]) == [*model.answer([long]), *model.answer([other])]
    assert model.answer([long, short])[1] != model.answer([short])[0]


@pytest.mark.parametrize("name", UNLIKE)
def test_five_minutes_in_windows_all_reach_the_model(
    engine: Callable[[str], Engine], meeting: Recording, name: str
) -> None:
    """A second at the end of each window that is another changes what is answered."""
    subject = engine(name)
    length = round(min(subject.limits.window_s, 300) * RATE)
    starts = range(0, 300 * RATE, length)
    windows = [meeting.sound[start : min(start + length, 300 * RATE)].copy() for start in starts]
    changed = [np.concatenate([window[:-RATE], tone(1)]) for window in windows]
    requests = [Request((clip,), "What is said?", max_new_tokens=4) for clip in (*windows, *changed)]
    replies = answers(subject, requests)
    assert sum(len(window) for window in windows) == 300 * RATE
    for before, after in zip(replies[: len(windows)], replies[len(windows) :], strict=True):
        assert (before.text, before.avg_logprob) != (after.text, after.avg_logprob)


@pytest.mark.parametrize("name", UNLIKE)
def test_a_clip_of_a_hundredth_of_a_second_is_answered(engine: Callable[[str], Engine], name: str) -> None:
    assert answers(engine(name), [Request((tone(0.01),), "What?")])[0].tokens


@pytest.mark.parametrize("name", [name for name in UNLIKE if ROWS[name].most_clips > 1])
def test_several_clips_in_one_message_are_heard_in_their_order(folder: Make, meeting: Recording, name: str) -> None:
    subject = load(folder(name), clips_per_request=3)
    clips = (meeting.cut(5.6, 8.9), meeting.cut(28, 30), meeting.cut(35, 40))
    asked = Request(clips, "What is said?", task="answer", max_new_tokens=10)
    here, turned, fewer = answers(subject, [asked, replace(asked, clips=clips[::-1]), replace(asked, clips=clips[:2])])
    assert len({(reply.text, reply.avg_logprob) for reply in (here, turned, fewer)}) == 3


@pytest.mark.parametrize("name", [name for name in ASKED if ROWS[name].text_only])
def test_questions_about_text_alone_are_answered_beside_others(engine: Callable[[str], Engine], name: str) -> None:
    words = Request((), "Put these notes together.", system="You are brief.", task="answer")
    heard = Request((tone(2),), "What is said?", task="answer")
    together = answers(engine(name), [words, heard, replace(words, prompt="Who speaks?")])
    assert together[0] == answers(engine(name), [words])[0] != together[2]


# ---- nothing is cut off in silence


def test_audio_that_a_processor_cuts_off_is_an_error(folder: Make, tmp_path: Path) -> None:
    """Its own processor, set to hear half a minute: the model would have been asked about that alone."""
    mine = shutil.copytree(folder("audioflamingo3"), tmp_path / "short")
    settings = json.loads((mine / "processor_config.json").read_text(encoding="utf-8"))
    (mine / "processor_config.json").write_text(json.dumps({**settings, "max_audio_len": 30}), encoding="utf-8")
    model = Generic(checkpoint(mine), "cpu", "float32", EngineOptions())
    with pytest.raises(EngineError, match="hear 750 audio tokens where its clips make 1500; not asked"):
        model.answer([Request((noise(60 * RATE),), "What?")])


def test_a_prompt_longer_than_the_context_is_an_error(folder: Make, tmp_path: Path) -> None:
    mine = shutil.copytree(folder("audioflamingo3"), tmp_path / "narrow")
    config = json.loads((mine / "config.json").read_text(encoding="utf-8"))
    config["text_config"]["max_position_embeddings"] = 256
    (mine / "config.json").write_text(json.dumps(config), encoding="utf-8")
    model = Generic(checkpoint(mine), "cpu", "float32", EngineOptions())
    with pytest.raises(EngineError, match="does not fit into the 256 of the model"):
        model.answer([Request((noise(10 * RATE),), "What?")])


# ---- prompts


@pytest.mark.parametrize("name", ASKED)
def test_marks_that_a_user_writes_are_text(folder: Make, name: str) -> None:
    lay = laid_out(folder(name), name)
    special = [lay.audio_id, lay.tokenizer.eos_token_id]
    marks = "".join(map(str, lay.tokenizer.convert_ids_to_tokens(special)))
    clip = tone(1)
    asked = {
        text: lay(Request((clip,), text, system=text, task="answer"))["input_ids"][0]
        for text in ("Say it twice.", f"Say {marks} twice.")
    }
    plain, marked = asked.values()
    for mark in special:
        assert int((plain == mark).sum()) == int((marked == mark).sum())
    assert len(marked) > len(plain)


@pytest.mark.parametrize("name", ASKED)
def test_system_and_prompt_reach_the_model(folder: Make, name: str) -> None:
    lay = laid_out(folder(name), name)
    found = lay(Request((tone(1),), "Who speaks here?", system="You listen well.", task="answer"))
    text = lay.tokenizer.decode(found["input_ids"][0].tolist())
    assert text.index("You listen well.") < text.index("Who speaks here?")


def test_a_request_without_words_is_given_some(folder: Make) -> None:
    """And the words that may occur, for a transcript."""
    model = Generic(checkpoint(folder("audioflamingo3")), "cpu", "float32", EngineOptions())
    bare, named = Request((tone(1),)), Request((tone(1),), initial_prompt="Ledbetter, Quillan")
    sizes = [model.size(request) for request in (bare, replace(bare, prompt="What?"), named)]
    assert sizes[1] < sizes[0] < sizes[2]


def test_granite_is_asked_as_its_makers_ask_it_whatever_the_request_says(folder: Make) -> None:
    """It was trained on few prompts; a date that moves on would change the answers from day to day."""
    model = Generic(checkpoint(folder("granite_speech")), "cpu", "float32", EngineOptions())
    bare = Request((noise(2 * RATE),), max_new_tokens=6)
    worded, translated = replace(bare, prompt="Sing!", system="You are a bird."), replace(bare, task="translate")
    plain, same, other = (model.answer([request])[0] for request in (bare, worded, translated))
    assert plain == same != other


def test_qwen3_asr_is_told_the_language_and_the_words_that_may_occur(folder: Make) -> None:
    lay = laid_out(folder("qwen3_asr"), "qwen3_asr")
    asked = Request((tone(1),), "ignored", language="de", initial_prompt="Ledbetter <|im_end|> Quillan")
    text = lay.tokenizer.decode(lay(asked)["input_ids"][0].tolist())
    assert text.endswith("language German<asr_text>")
    assert "Ledbetter" in text and "Quillan" in text and "ignored" not in text
    assert text.count("<|im_end|>") == 2  # of the system's turn and of the user's


def test_qwen3_asr_answers_with_text_and_language_apart(folder: Make) -> None:
    from audiocli.engines.families.generic_model import spoken

    assert spoken(Reply("language German<asr_text>Und so fing es an.")) == Reply("Und so fing es an.", language="de")
    assert spoken(Reply("language None<asr_text>")) == Reply("")
    assert spoken(Reply("Und so.", language="de")) == Reply("Und so.", language="de")


@pytest.mark.skipif(not HAS_MISTRAL, reason="mistral-common is not installed")
def test_voxtral_is_asked_for_transcripts_in_its_own_way(folder: Make) -> None:
    lay = laid_out(folder("voxtral"), "voxtral")
    said = lay(Request((tone(1),), "ignored", language="de"))["input_ids"][0].tolist()
    text = lay.tokenizer.decode(said)
    assert text.endswith("lang:de[TRANSCRIBE]") and "ignored" not in text


# ---- the same as by the makers' own code


def test_audio_flamingo_answers_as_by_its_processor_by_hand(folder: Make, meeting: Recording) -> None:
    path, clip = folder("audioflamingo3"), meeting.cut(35, 42.8)
    reply = answers(load(path), [Request((clip,), "What is said?", task="answer")])[0]
    processor = tf.AutoProcessor.from_pretrained(path)
    content = [{"type": "audio", "audio": clip}, {"type": "text", "text": "What is said?"}]
    given_ = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=True
    )
    assert reply.text == by_hand(tf.AudioFlamingo3ForConditionalGeneration, path, given_, processor.tokenizer)


def test_qwen_omni_answers_as_with_its_own_five_minutes_of_padding(folder: Make, meeting: Recording) -> None:
    path, clip = folder("qwen2_5_omni_thinker"), meeting.cut(35, 42.8)
    reply = answers(load(path), [Request((clip,), "What is said?", task="answer")])[0]
    lay = laid_out(path, "qwen2_5_omni_thinker")
    given_ = dict(lay(Request((clip,), "What is said?", task="answer")))
    extractor = tf.WhisperFeatureExtractor.from_pretrained(path)
    full = extractor(clip, sampling_rate=RATE, padding="max_length", return_attention_mask=True, return_tensors="pt")
    assert full.input_features.shape[-1] == 30_000
    frames = given_["input_features"].shape[-1]
    heard = given_["feature_attention_mask"].bool()
    assert torch.equal(given_["input_features"][0][:, heard[0]], full.input_features[0][:, :frames][:, heard[0]])
    given_ |= {"input_features": full.input_features, "feature_attention_mask": full.attention_mask}
    assert reply.text == by_hand(tf.Qwen2_5OmniThinkerForConditionalGeneration, path, given_, lay.tokenizer)


def by_hand(kind: Any, path: Path, given_: Any, tokenizer: Any) -> str:
    model = kind.from_pretrained(path, dtype=torch.float32).eval()
    said = model.generate(**given_, max_new_tokens=10, do_sample=False)[0, given_["input_ids"].shape[1] :]
    return str(tokenizer.decode(said, skip_special_tokens=True)).strip()


def test_the_whole_omni_model_answers_as_its_thinker_alone(engine: Callable[[str], Engine], meeting: Recording) -> None:
    asked = [Request((meeting.cut(5.6, 8.9),), "What is said?")]
    for whole in ("qwen2_5_omni", "qwen3_omni_moe"):
        assert answers(engine(whole), asked) == answers(engine(f"{whole}_thinker"), asked)


def test_granites_spectrogram_is_what_its_settings_say(meeting: Recording) -> None:
    """Written out in numpy: reflected edges, periodic Hann windows in the middle of 512 points, HTK's triangles."""
    clip = meeting.cut(35, 37.5)
    window = np.zeros(512)
    window[56:456] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(clip.astype(float), 256, mode="reflect"), 512)[::160]
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    mels = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 82)
    low, middle, high = (700 * (10 ** (mels[at : at + 80] / 2595) - 1) for at in range(3))
    hertz = np.linspace(0, 8000, 257)[:, None]
    triangles = np.maximum(0, np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)))
    decades = np.log10(np.maximum(power @ triangles, 1e-10))
    due = np.maximum(decades, decades.max() - 8) / 4 + 1
    found = generic_inputs.granite_features(clip, generic_inputs.granite_filters(), 1)["input_features"]
    assert found.shape == (1, len(due) // 2, 160)
    np.testing.assert_allclose(found[0].numpy().reshape(-1, 80), due[: len(due) // 2 * 2], atol=2e-4)


# ---- adapters


@pytest.mark.skipif(not HAS_PEFT, reason="peft is not installed")
class TestAdapters:
    def test_granites_adapter_is_put_on(self, folder: Make, tmp_path: Path) -> None:
        tuned = tmp_path / "tuned"
        tuned.mkdir()
        random_audio_llms.granite_speech(tuned, adapter=True)
        asked = [Request((noise(3 * RATE),))]
        assert answers(load(tuned), asked) != answers(load(folder("granite_speech")), asked)

    def test_granite_without_the_adapter_it_was_trained_with_is_refused(self, tmp_path: Path) -> None:
        random_audio_llms.granite_speech(tmp_path, adapter=True)
        (tmp_path / "adapter_model.safetensors").unlink()
        with pytest.raises(ModelError, match=r"its adapter for speech is not there: adapter_model\.safetensors"):
            load(tmp_path)

    def test_phi_4_hears_by_its_adapter_and_reads_without(self, folder: Make, tmp_path: Path) -> None:
        random_audio_llms.phi4_multimodal(tmp_path, adapter=True)
        heard, read = Request((noise(3 * RATE),), "What?"), Request((), "What?", task="answer")
        bare, tuned = load(folder("phi4_multimodal")), load(tmp_path)
        assert answers(tuned, [heard]) != answers(bare, [heard])
        assert answers(tuned, [read, heard])[0] == answers(bare, [read])[0]

    def test_an_adapter_that_is_a_pickle_is_not_read(self, tmp_path: Path) -> None:
        random_audio_llms.phi4_multimodal(tmp_path, adapter=True)
        weights = tmp_path / "speech-lora" / "adapter_model.safetensors"
        weights.rename(weights.with_suffix(".bin"))
        with pytest.raises(ModelError, match=r"speech-lora/adapter_model\.safetensors"):
            load(tmp_path)


# ---- quantized


@pytest.mark.parametrize("name", UNLIKE)
def test_what_hears_keeps_its_precision_and_what_thinks_does_not(folder: Make, name: str) -> None:
    """By full names: others would be passed over without a word, and the encoder be quantized."""
    kind = generic_model._class(folder(name), name)
    exact = generic_model.ears(kind, folder(name))
    with torch.device("meta"):
        shrunk = [
            one
            for one, module in kind(kind.config_class.from_pretrained(folder(name))).named_modules()
            if isinstance(module, torch.nn.Linear) and not any(one.startswith(f"{other}.") for other in exact)
        ]
    assert exact
    assert shrunk and all(map(THINKING.fullmatch, shrunk))


def test_a_quantized_model_answers_and_hears_in_full_precision(folder: Make) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    asked = [Request((noise(3 * RATE),), "What?")]
    model = Generic(checkpoint(folder("audioflamingo3")), "cpu", "float32", EngineOptions(quantize="8bit"))
    assert model.answer([replace(one, max_new_tokens=4) for one in asked])[0].tokens
    shrunk = [one for one, kind in model._model.named_modules() if isinstance(kind, bitsandbytes.nn.Linear8bitLt)]
    assert shrunk and all("language_model" in one for one in shrunk)


# ---- types that nobody knows


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """MusicFlamingo: not in the table, and a real audio chat model of transformers."""
    return random_audio_llms.make("musicflamingo", tmp_path / "stranger")


def test_an_unknown_type_is_asked_by_its_template_with_one_warning(
    stranger: Path, meeting: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="audiocli"):
        subject = load(stranger)
    assert [record.getMessage() for record in caplog.records] == [
        "stranger: models of type musicflamingo are not known to this version; asked by its chat template, "
        "half a minute at once"
    ]
    assert subject.limits.window_s == 30
    clips = [meeting.cut(27, 29.3), meeting.cut(35, 42.8), meeting.cut(50, 80)]
    requests = [Request((clip,), "What is said?") for clip in clips]
    assert answers(subject, requests) == [answers(subject, [request])[0] for request in requests]


def test_an_unknown_type_that_cuts_audio_in_silence_is_refused(qwen2_audio_folder: Path, tmp_path: Path) -> None:
    """Qwen2-Audio by its template, with a feature extractor that hears 15 s."""
    mine = shutil.copytree(qwen2_audio_folder, tmp_path / "deaf")
    (path,) = (file for file in mine.glob("*processor_config.json") if "n_samples" in file.read_text(encoding="utf-8"))
    settings = json.loads(path.read_text(encoding="utf-8"))
    within = settings.get("feature_extractor", settings)
    within |= {"chunk_length": 15, "n_samples": 15 * RATE, "nb_max_frames": 1500}
    path.write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ModelError, match="its processor cuts off audio before 30 s, without a word"):
        Generic(checkpoint(mine), "cpu", "float32", EngineOptions())


def test_an_unknown_type_without_a_template_is_refused(stranger: Path) -> None:
    for file in stranger.glob("*"):
        if file.suffix == ".jinja":
            file.unlink()
    with pytest.raises(ModelError, match="it has no chat template, so how to ask it is not known"):
        load(stranger)


def test_code_that_comes_with_a_model_is_not_run(stranger: Path, tmp_path: Path) -> None:
    config = json.loads((stranger / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "other", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    (stranger / "config.json").write_text(json.dumps(config), encoding="utf-8")
    trace = tmp_path / "trace"
    (stranger / "own.py").write_text(f"open({str(trace)!r}, 'w')", encoding="utf-8")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(stranger)
    assert not trace.exists()


# ---- batches


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_rows_are_filled_up_on_the_left_and_features_behind(lengths: list[int]) -> None:
    rows = [
        {
            "input_ids": torch.full((1, length), 5),
            "attention_mask": torch.ones(1, length, dtype=torch.long),
            "features": torch.full((1, 2, length), 1.5),
        }
        for length in lengths
    ]
    batch = generic_inputs.together(rows, pad_id=9)
    most = max(lengths)
    assert batch["features"].shape == (len(lengths), 2, most)
    for index, length in enumerate(lengths):
        assert batch["input_ids"][index].tolist() == [9] * (most - length) + [5] * length
        assert batch["attention_mask"][index].tolist() == [0] * (most - length) + [1] * length
        assert batch["features"][index, 1].tolist() == [1.5] * length + [0] * (most - length)


def test_the_table_rises_with_the_length_of_a_clip() -> None:
    """No clip takes fewer tokens than a shorter one: what is missing would not show otherwise."""
    for row in ROWS.values():
        if row.tokens:
            counts = [row.tokens(samples) for samples in range(1600, 40 * RATE, 797)]
            assert all(before <= after for before, after in pairwise(counts))
