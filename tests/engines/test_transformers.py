"""The engine in this process: where it runs, what decides its answers, and what it does when memory runs out."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import random_whisper as rw
import torch
from conftest import CHAT, ROOT, options

from audiocli import engines
from audiocli.engines import Engine, EngineOptions, Fallback, Sampling, checkpoints
from audiocli.engines.families import FAMILIES, OPTIONAL, Model, whisper
from audiocli.engines.transformers_ import TransformersEngine, _checkpoint
from audiocli.errors import EngineError, ModelError, UsageError
from audiocli.records import RATE, Reply, Request, Waveform

HERE = EngineOptions(device="cpu", offline=True)


def identity(**settings: object) -> str:
    return engines.blueprint(replace(HERE, **settings)).identity  # type: ignore[arg-type]


def python(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---- memory


def torchs_own() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nSee the manual.")


def the_processors() -> None:
    torch.empty(2**60, dtype=torch.uint8)


def numpys() -> None:
    np.empty(2**60, dtype=np.uint8)


def apples() -> None:
    raise RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")


class Around:
    """Another model, asked the same."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def kind(self, request: Request) -> Hashable:
        return self._model.kind(request)

    def size(self, request: Request) -> int:
        return self._model.size(request)


class Narrow(Around):
    """A model that has no memory for more than `fits` clips at once, nor for clips longer than `longest_s`."""

    def __init__(self, model: Model, fits: int, run_out: Callable[[], None], longest_s: float = 30.0) -> None:
        super().__init__(model)
        self.tried: list[int] = []
        self._fits, self._run_out, self._longest_s = fits, run_out, longest_s

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        self.tried.append(len(requests))
        if len(requests) > self._fits or any(len(one.clips[0]) > self._longest_s * RATE for one in requests):
            self._run_out()
        return self._model.answer(requests)


@pytest.fixture(scope="module")
def model(random_folder: Path) -> Model:
    """The random Whisper without an engine around it."""
    return whisper.load(checkpoints.find(str(random_folder)), "cpu", "float32", options("random", random_folder))


@pytest.fixture(scope="module")
def roomy(model: Model, random_folder: Path) -> Engine:
    return TransformersEngine(engines.blueprint(options("random", random_folder)).limits, model, 8)


def narrow(roomy: Engine, model: Model, fits: int, *more: object) -> tuple[TransformersEngine, Narrow]:
    tight = Narrow(model, fits, *more)  # type: ignore[arg-type]
    return TransformersEngine(roomy.limits, tight, 8), tight


@pytest.mark.parametrize("run_out", [torchs_own, the_processors, numpys, apples])
def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    run_out: Callable[[], None], roomy: Engine, model: Model, speech: list[Waveform]
) -> None:
    engine, tight = narrow(roomy, model, 3, run_out)
    requests = [Request((clip,)) for clip in speech]
    texts = [reply.text for reply in engine.generate(requests) if isinstance(reply, Reply)]
    assert texts == [reply.text for reply in roomy.generate(requests) if isinstance(reply, Reply)]
    assert tight.tried == [8, 4, 2, 2, 2, 2]


def test_what_fits_is_remembered(roomy: Engine, model: Model, speech: list[Waveform]) -> None:
    engine, tight = narrow(roomy, model, 2, torchs_own)
    requests = [Request((clip,)) for clip in speech]
    engine.generate(requests)
    tight.tried.clear()
    engine.generate([*requests, *requests, replace(requests[0], language="de")])
    assert max(tight.tried) == 2


def test_a_request_that_does_not_fit_alone_fails_alone(roomy: Engine, model: Model, speech: list[Waveform]) -> None:
    engine, tight = narrow(roomy, model, 8, torchs_own, 20.0)
    assert len(speech[0]) == 30 * RATE
    requests = [Request((speech[index],)) for index in (2, 0, 4)]
    before, failed, after = engine.generate(requests)
    assert isinstance(failed, EngineError)
    assert str(failed) == (
        "out of memory even with one window at a time (CUDA out of memory. Tried to allocate 20.00 GiB.)"
    )
    assert [before, after] == list(roomy.generate([requests[0], requests[2]]))
    assert tight.tried == [3, 1, 1, 1]


def test_other_errors_of_the_model_are_not_taken_for_want_of_memory(roomy: Engine, model: Model) -> None:
    def stumble() -> None:
        raise RuntimeError("shape '[2, 3]' is invalid")

    engine, tight = narrow(roomy, model, 0, stumble)
    with pytest.raises(RuntimeError, match="is invalid"):
        engine.generate([Request((np.zeros(RATE, np.float32),))] * 4)
    assert tight.tried == [4]


# ---- what the model will not answer


class Picky(Around):
    """A model that will have no part in a batch that holds a certain language."""

    def __init__(self, model: Model, language: str) -> None:
        super().__init__(model)
        self.tried: list[int] = []
        self._language = language

    def kind(self, request: Request) -> Hashable:
        return None

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        self.tried.append(len(requests))
        tensors = torch.zeros(3)
        if any(request.language == self._language for request in requests):
            raise EngineError(f"not asked: {self._language}, {tensors.sum():.0f}")
        return [reply for request in requests for reply in self._model.answer([request])]


def test_of_a_batch_that_is_refused_the_others_are_answered(
    roomy: Engine, model: Model, speech: list[Waveform]
) -> None:
    """Asked one by one, each in its place; and batches after it are as large as before."""
    picky = Picky(model, "de")
    engine = TransformersEngine(roomy.limits, picky, 4)
    languages = ["en", "de", "en", None, "en", "en", "fr"]
    requests = [Request((clip,), language=language) for clip, language in zip(speech, languages, strict=False)]
    replies = engine.generate(requests)
    expected = list(roomy.generate(requests))
    failed = replies[1]
    assert isinstance(failed, EngineError) and str(failed) == "not asked: de, 0"
    assert [*replies[:1], *replies[2:]] == [*expected[:1], *expected[2:]]
    assert sorted(picky.tried) == [1, 1, 1, 1, 3, 4]


def test_a_refusal_does_not_hold_what_the_attempt_took(roomy: Engine, model: Model) -> None:
    """Its traceback would keep the frames, and all tensors in them, as long as the replies are kept."""
    (failed,) = TransformersEngine(roomy.limits, Picky(model, "de"), 4).generate(
        [Request((np.zeros(RATE, np.float32),), language="de")]
    )
    assert isinstance(failed, EngineError)
    assert failed.__traceback__ is None and failed.__context__ is None and failed.__cause__ is None


# ---- batches


class Watched(Around):
    """Another model, and what it was asked together."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.batches: list[list[Request]] = []

    def answer(self, requests: Sequence[Request]) -> list[Reply]:
        self.batches.append(list(requests))
        return self._model.answer(requests)


def test_batches_hold_one_kind_and_similar_lengths(roomy: Engine, model: Model, speech: list[Waveform]) -> None:
    watched = Watched(model)
    requests = [
        Request((clip,), language=language, initial_prompt=prompt)
        for clip in speech[:6]
        for language, prompt in (("de", None), (None, None), ("de", "a"))
    ]
    TransformersEngine(roomy.limits, watched, 4).generate(requests)
    assert sorted(map(len, watched.batches)) == [2, 2, 2, 4, 4, 4]
    for batch in watched.batches:
        assert len({(request.language, request.initial_prompt) for request in batch}) == 1
    lengths = [len(request.clips[0]) for batch in watched.batches[:2] for request in batch]
    assert lengths == sorted(lengths, reverse=True), "the longest first, so that want of memory shows at once"


# ---- where it runs


def test_a_device_that_is_not_here_ends_the_run_and_says_what_is() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(ModelError, match=r"device 'cuda' is not available to torch .*; try --device cpu") as caught:
        identity(device="cuda")
    assert caught.value.exit_code == 3
    with pytest.raises(ModelError, match="'cuda:1' is not available"):
        identity(device="cuda:1")


@pytest.mark.parametrize("device", ["tpu", "", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "CPU", "mps:1"])
def test_a_device_that_does_not_exist_is_a_usage_error(device: str) -> None:
    with pytest.raises(UsageError, match="no device .*choose from auto, cpu, mps, cuda") as caught:
        identity(device=device)
    assert caught.value.exit_code == 2


def test_half_precision_is_for_gpus() -> None:
    with pytest.raises(UsageError, match="fp16 is for GPUs; on a CPU choose fp32 or bf16"):
        identity(dtype="fp16")


@pytest.mark.parametrize(
    ("asked", "dtype"), [("auto", "float32"), ("fp32", "float32"), ("bf16", "bfloat16"), ("bfloat16", "bfloat16")]
)
def test_the_precision_is_as_asked(asked: str, dtype: str) -> None:
    plan = engines.blueprint(replace(HERE, dtype=asked))
    assert plan.settings == {"device": "cpu", "dtype": dtype}


@pytest.mark.parametrize("dtype", ["int8", "", "float64"])
def test_an_unknown_precision_is_a_usage_error(dtype: str) -> None:
    with pytest.raises(UsageError, match="choose from auto, fp32, fp16, bf16"):
        identity(dtype=dtype)


def test_weights_are_held_in_the_precision_asked_for(random_folder: Path) -> None:
    clip = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)
    exact, half = (
        engines.blueprint(replace(options("random", random_folder), dtype=dtype)).load().generate([Request((clip,))])[0]
        for dtype in ("fp32", "bf16")
    )
    assert isinstance(exact, Reply) and isinstance(half, Reply)
    assert exact.avg_logprob != half.avg_logprob


def test_threads_are_as_asked(random_folder: Path) -> None:
    before = torch.get_num_threads()
    try:
        engines.blueprint(replace(options("random", random_folder), threads=1)).load()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_the_size_of_a_batch_is_as_asked_or_as_the_family_likes_it() -> None:
    assert engines.blueprint(HERE).batch_size == 8
    assert engines.blueprint(replace(HERE, batch_size=3)).batch_size == 3


# ---- before weights are read


def test_a_plan_costs_no_torch(random_folder: Path) -> None:
    """On a machine without a GPU; with one, torch is asked whether it can use it."""
    code = """
import sys
from audiocli import engines
plan = engines.blueprint(engines.EngineOptions(model=sys.argv[1], device=sys.argv[2]))
print(plan.limits.window_s, sorted({"torch", "transformers", "librosa", "huggingface_hub"} & set(sys.modules)))
"""
    assert python(code, "tiny.en", "cpu") == "30.0 []"
    assert python(code, str(random_folder), "cpu") == "30.0 []"
    if not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")):
        assert sys.platform != "linux" or python(code, "auto", "auto") == "30.0 []"


def test_a_plan_of_any_family_costs_no_torch(folder_of: Callable[[str], Path]) -> None:
    """Not even when it counts the tokens of a text."""
    code = """
import sys
from audiocli import engines
for folder in sys.argv[1:]:
    plan = engines.blueprint(engines.EngineOptions(model=folder, device="cpu", offline=True))
    assert plan.limits.context_tokens and plan.count_tokens("Who speaks?")
    loaded = {"torch", "transformers", "peft", "mistral_common", "numpy.random"} & set(sys.modules)
    print(plan.family, *sorted(loaded))
"""
    names = [name for name in CHAT if name != "voxtral"]
    families = python(code, *(str(folder_of(name)) for name in names)).split("\n")
    assert families == ["llama" if name == "text" else name.replace("qwen2-audio", "qwen2_audio") for name in names]


def test_a_plan_names_what_will_run() -> None:
    plan = engines.blueprint(HERE)
    assert (plan.engine, plan.model) == ("transformers", "tiny.en")
    assert plan.revision.startswith("sha256:")
    assert plan.libraries["torch"] == torch.__version__
    assert set(plan.libraries) == {"torch", "transformers"}


# ---- what decides an answer


def test_the_identity_changes_with_all_that_decides_an_answer(random_folder: Path, tmp_path: Path) -> None:
    other = rw.make(tmp_path / "random", seed=8)
    identities = [
        identity(),
        identity(model=str(random_folder)),
        identity(model=str(other)),
        identity(dtype="bf16"),
        identity(fallback=Fallback(temperatures=(0.0,))),
        identity(fallback=Fallback(no_speech=None)),
        identity(fallback=Fallback(logprob=-2.0)),
        identity(fallback=Fallback(compression_ratio=2.5)),
    ]
    assert len(set(identities)) == len(identities)


def test_the_identity_does_not_change_with_what_does_not(random_folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.symlink_to(random_folder, target_is_directory=True)
    assert identity(model=str(moved)) == identity(model=str(random_folder))
    assert identity(batch_size=3, threads=2, offline=False, model="auto") == identity(model="whisper-tiny.en")


def test_the_identity_is_the_same_in_every_process() -> None:
    code = """
from audiocli import engines
print(engines.blueprint(engines.EngineOptions(device="cpu", offline=True)).identity)
"""
    assert python(code) == identity()


def test_the_identity_of_a_chat_model_changes_with_how_it_answers(qwen2_audio_folder: Path) -> None:
    """But not with Whisper's fallback, nor with what the request itself tells."""
    chat = {"model": str(qwen2_audio_folder)}
    deciding: list[dict[str, object]] = [
        {},
        {"sampling": Sampling(temperature=0.5)},
        {"sampling": Sampling(seed=1)},
        {"sampling": Sampling(max_new_tokens=9)},
        {"sampling": Sampling(repetition_penalty=1.1)},
        {"downsample": 4},
        {"attention": "eager"},
    ]
    identities = [identity(**chat, **settings) for settings in deciding]
    assert len(set(identities)) == len(identities)
    assert identities[0] == identity(**chat, fallback=Fallback(temperatures=(0.5,)), clips_per_request=3, batch_size=2)


def test_replies_that_whisper_stored_before_are_found_again() -> None:
    """Its identity is what it was before there were other families."""
    plan = engines.blueprint(HERE)
    assert plan.identity == f"transformers|1|whisper|{plan.revision}|cpu|float32|{HERE.fallback!r}"


# ---- options that not every model has


ASKED: dict[str, object] = {
    "sampling": Sampling(top_p=0.9),
    "clips_per_request": 2,
    "downsample": 4,
    "language_model": "someone/llama",
    "quantize": "4bit",
    "attention": "eager",
    "compile": True,
}
FLAGGED = {
    "sampling": "--top-p, --repetition-penalty, --max-new-tokens or --seed",
    "clips_per_request": "--clips-per-request",
    "downsample": "--downsample",
    "language_model": "--language-model",
    "quantize": "--quantize",
    "attention": "--attn",
    "compile": "--compile",
}
"""By the names that users have for them."""


@pytest.mark.parametrize("option", OPTIONAL)
def test_what_a_model_would_not_heed_is_refused_with_those_that_do(option: str) -> None:
    with pytest.raises(UsageError) as caught:
        identity(**{option: ASKED[option]})
    able = [name for name, spec in FAMILIES.items() if option in spec.takes]
    assert able and "whisper" not in able
    assert str(caught.value) == (
        f"model 'tiny.en' has no use for {FLAGGED[option]}; models of these types do: {', '.join(able)}"
    )


@pytest.mark.parametrize(
    "sampling",
    [Sampling(top_p=0.9), Sampling(repetition_penalty=1.1), Sampling(max_new_tokens=9), Sampling(seed=1)],
    ids=["top_p", "penalty", "budget", "seed"],
)
def test_whisper_heeds_no_sampling_but_the_temperature(sampling: Sampling) -> None:
    """That reaches it with its fallback; whatever comes with it is refused all the same."""
    for asked in (sampling, replace(sampling, temperature=0.4)):
        with pytest.raises(
            UsageError, match="has no use for --top-p, --repetition-penalty, --max-new-tokens or --seed"
        ):
            identity(sampling=asked)


def test_what_every_model_does_anyway_is_not_refused() -> None:
    assert identity(clips_per_request=1, sampling=Sampling(temperature=0.4)) == identity()


def test_what_differs_from_the_defaults_is_reported(qwen2_audio_folder: Path) -> None:
    sampling = Sampling(temperature=0.5, seed=3)
    settings = {"clips_per_request": 3, "downsample": 4, "sampling": sampling, "attention": "eager"}
    plan = engines.blueprint(replace(HERE, model=str(qwen2_audio_folder), **settings))  # type: ignore[arg-type]
    assert plan.settings == {
        "device": "cpu",
        "dtype": "float32",
        "clips_per_request": 3,
        "downsample": 4,
        "attention": "eager",
        "temperature": 0.5,
        "seed": 3,
    }


def test_what_a_model_is_put_together_with_decides_and_is_reported_by_name(folder_of: Callable[[str], Path]) -> None:
    """Not by where it lies."""
    folder = folder_of("ultravox")
    plan = engines.blueprint(replace(HERE, model=str(folder)))
    told = str(plan.settings["companions"])
    revisions = [part.partition("(")[2].rstrip(")") for part in told.split(", ")]
    assert revisions and all(revision in plan.identity for revision in revisions)
    assert "/" not in told and str(folder) not in plan.identity


def test_compiling_is_for_gpus(qwen2_audio_folder: Path) -> None:
    with pytest.raises(UsageError, match="--compile is for GPUs"):
        identity(model=str(qwen2_audio_folder), compile=True)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantizing_without_its_package_names_what_installs_it(
    bits: str, qwen2_audio_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as where it is not installed
    with pytest.raises(ModelError, match=rf"--quantize {bits} needs bitsandbytes: pip install 'audiocli\[quantize\]'"):
        identity(model=str(qwen2_audio_folder), quantize=bits)


def test_eight_bits_are_asked_one_by_one(qwen2_audio_folder: Path) -> None:
    """LLM.int8 looks for outliers in the whole batch: in company, a request would be answered otherwise."""
    for package in ("bitsandbytes", "accelerate"):
        pytest.importorskip(package, reason=f"{package} is an extra")
    sizes = {
        bits: engines.blueprint(replace(HERE, model=str(qwen2_audio_folder), batch_size=4, quantize=bits)).batch_size
        for bits in (None, "8bit", "4bit")
    }
    assert sizes == {None: 4, "8bit": 1, "4bit": 4}


def test_attention_without_its_package_names_what_installs_it(
    qwen2_audio_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(ModelError, match="flash_attention_2 is not installed: pip install flash-attn, or leave it out"):
        identity(model=str(qwen2_audio_folder), attention="flash_attention_2")


def test_attention_is_as_asked(qwen2_audio_folder: Path, speech: list[Waveform]) -> None:
    """Another kind gives the same answer; one that does not exist is refused with those that do."""
    requests = [Request((clip,), "Write", max_new_tokens=12) for clip in speech[1:3]]

    def plan(attention: str | None) -> engines.Blueprint:
        return engines.blueprint(replace(HERE, model=str(qwen2_audio_folder), attention=attention))

    texts = [
        [reply.text for reply in plan(kind).load().generate(requests) if isinstance(reply, Reply)]
        for kind in (None, "eager")
    ]
    assert texts[0] == texts[1] and len(texts[0]) == 2
    with pytest.raises(UsageError, match="no attention 'attentive'; choose from eager, sdpa, flash_attention_2"):
        plan("attentive")


# ---- asked again


def test_whisper_asked_differently_answers_differently(roomy: Engine, speech: list[Waveform]) -> None:
    first, again, short = roomy.generate(
        [Request((speech[1],), **more) for more in ({}, {"temperature": 0.6}, {"max_new_tokens": 4})]  # type: ignore[arg-type]
    )
    assert isinstance(first, Reply) and isinstance(again, Reply) and isinstance(short, Reply)
    assert (first.temperature, again.temperature) == (0.0, 0.6)
    assert again.text != first.text
    assert (short.tokens, short.stop) == (4, "length")


# ---- auto


def test_auto_goes_on_with_the_embedded_model_where_the_large_one_cannot_be_had(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Offline, on a GPU with room for it: said in one line."""
    asked = EngineOptions(offline=True, model_dir=str(tmp_path))
    found = _checkpoint(asked, lambda: 80_000_000_000)
    assert found.name == "tiny.en"
    assert [record.getMessage() for record in caplog.records] == [
        "model 'qwen2-audio' (Qwen/Qwen2-Audio-7B-Instruct) is not on this machine and --offline is set; download it "
        "where there is a network, or give a folder; going on with the embedded tiny.en"
    ]


def test_auto_says_nothing_where_there_is_no_gpu(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert _checkpoint(EngineOptions(offline=True, model_dir=str(tmp_path)), lambda: None).name == "tiny.en"
    assert not caplog.records


def test_a_model_that_was_named_is_not_exchanged_for_another(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not on this machine"):
        _checkpoint(EngineOptions(model="qwen2-audio", offline=True, model_dir=str(tmp_path)), lambda: None)


# ---- tokens of a text


def test_tokens_are_counted_by_the_models_own_tokenizer(qwen2_audio_folder: Path) -> None:
    from transformers import AutoTokenizer

    for model, folder in (("tiny.en", checkpoints.EMBEDDED_FOLDER), (str(qwen2_audio_folder), qwen2_audio_folder)):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        plan = engines.blueprint(replace(HERE, model=model))
        for text in ("", "Who speaks, and when?", "Größe 大きさ 🎧"):
            assert plan.count_tokens(text) == len(tokenizer.encode(text, add_special_tokens=False))
        assert plan.count_tokens("<|endoftext|>") > 1, "what a user writes is text"


def test_counting_tokens_costs_no_torch(qwen2_audio_folder: Path) -> None:
    code = """
import sys
from audiocli import engines
plan = engines.blueprint(engines.EngineOptions(model=sys.argv[1], device="cpu"))
count = plan.count_tokens("Who speaks?")
print(plan.family, count > 0, sorted({"torch", "transformers"} & set(sys.modules)))
"""
    assert python(code, str(qwen2_audio_folder)) == "qwen2_audio True []"


def test_a_tokenizer_that_cannot_be_read_is_named(qwen2_audio_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(qwen2_audio_folder, tmp_path / "mine"))
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="model 'mine': its tokenizer cannot be read"):
        engines.blueprint(replace(HERE, model=str(folder))).count_tokens("a")
