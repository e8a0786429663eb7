"""Other Whisper programs on our weights, so that a difference in the text is one of the program and not of the model.

In come a Whisper folder as transformers writes it (config, safetensors, tokenizer) and audio files; out come texts.
Two interpreters read this file, so its top imports the standard library only. Ours makes an environment for the peers
and starts them there, each in a process of its own; theirs runs `convert` and `transcribe` and prints one JSON object a
line. openai-whisper calls the `ffmpeg` program, which must be installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
import venv
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

REQUIREMENTS = ("faster-whisper==1.2.1", "more-itertools", "numba", "safetensors", "tiktoken", "transformers>=5.20,<6")
"""All that the peers import, but for PyTorch: that is taken in our own version, so that both compute alike."""

ALONE = ("openai-whisper==20250625",)
"""Installed without what it asks for, because that names Triton, which is large and needed on a GPU only."""


class Result(NamedTuple):
    """What a peer made of one file."""

    file: str
    text: str
    segments: list[tuple[float, float, str]]
    """Start and end in seconds, and the text."""
    words: list[tuple[float, float, str]]
    """Empty unless asked for."""
    cpu_s: float
    error: str | None = None


# In our interpreter


def environment(folder: Path) -> Path:
    """The interpreter of a virtual environment with the peers in it; where there is none, made over the network."""
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        venv.create(folder, with_pip=True)
    probe = [str(python), "-c", "import ctranslate2, faster_whisper, safetensors, torch, transformers, whisper"]
    if subprocess.run(probe, capture_output=True).returncode:
        torch = f"torch=={version('torch').partition('+')[0]}"
        for arguments in ((torch, *REQUIREMENTS), ("--no-deps", *ALONE)):
            subprocess.run([python, "-m", "pip", "install", *arguments], check=True, stdout=sys.stderr)
    return python


def fingerprint(weights: Path) -> str:
    """Tells one model from another, whatever their folders are called."""
    return hashlib.sha256((weights / "model.safetensors").read_bytes()).hexdigest()[:16]


def run(python: Path, peer: str, weights: Path, work: Path, files: Sequence[Path], *options: str) -> Iterator[Result]:
    """Each file's Result, as soon as the peer has it; a file that it cannot read has an error and no text.

    work: where the converted weights are kept.  options: of `transcribe`, see `main`.
    Raises subprocess.CalledProcessError where the peer itself fails.
    """
    model = work / f"{peer}-{fingerprint(weights)}"
    if not model.exists():
        with tempfile.TemporaryDirectory(dir=work) as folder:
            whole = Path(folder, model.name)  # moved when it is complete: a run that was stopped leaves no half of one
            subprocess.run([python, __file__, "convert", peer, weights, whole], check=True, stdout=sys.stderr)
            whole.rename(model)
    command = [str(part) for part in (python, __file__, "transcribe", *options, peer, model, *files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield Result(**json.loads(line))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


# In theirs


def openai_weights(weights: Path, target: Path) -> None:
    """Write the folder as the one file that `whisper.load_model` takes: dimensions and half-precision tensors."""
    import torch
    from safetensors.torch import load_file

    config = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    generation = json.loads((weights / "generation_config.json").read_text(encoding="utf-8"))
    tensors = {
        openai_name(name): tensor.half()
        for name, tensor in load_file(weights / "model.safetensors").items()
        if name != "proj_out.weight"  # tied to the token embedding there
    }
    heads = generation.get("alignment_heads")  # which attention heads follow the audio; only words' times need them
    torch.save({"dims": openai_dims(config), "model_state_dict": tensors, "alignment_heads": heads}, target)


def openai_dims(config: dict[str, Any]) -> dict[str, int]:
    return {
        "n_mels": config["num_mel_bins"],
        "n_audio_ctx": config["max_source_positions"],
        "n_audio_state": config["d_model"],
        "n_audio_head": config["encoder_attention_heads"],
        "n_audio_layer": config["encoder_layers"],
        "n_vocab": config["vocab_size"],
        "n_text_ctx": config["max_target_positions"],
        "n_text_state": config["d_model"],
        "n_text_head": config["decoder_attention_heads"],
        "n_text_layer": config["decoder_layers"],
    }


OPENAI_NAMES = (
    ("model.", ""),
    ("encoder.layer_norm.", "encoder.ln_post."),
    ("decoder.layer_norm.", "decoder.ln."),
    ("embed_positions.weight", "positional_embedding"),
    ("embed_tokens", "token_embedding"),
    (".layers.", ".blocks."),
    ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("self_attn_layer_norm", "attn_ln"),
    ("final_layer_norm", "mlp_ln"),
    ("encoder_attn", "cross_attn"),
    ("self_attn", "attn"),
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "out"),
    ("fc1", "mlp.0"),
    ("fc2", "mlp.2"),
)
"""Parts of a tensor's name in transformers and in openai-whisper, longer ones before those they contain."""


def openai_name(name: str) -> str:
    for theirs, ours in OPENAI_NAMES:
        name = name.replace(theirs, ours)
    return name


def ctranslate2_weights(weights: Path, target: Path) -> None:
    """Write the folder as the one that `faster_whisper.WhisperModel` takes."""
    from ctranslate2.converters import TransformersConverter

    files = [name for name in ("tokenizer.json", "preprocessor_config.json") if (weights / name).exists()]
    TransformersConverter(str(weights), copy_files=files).convert(str(target))


def openai_whisper(model: Path, condition: bool, words: bool) -> Callable[[str], dict[str, Any]]:
    import torch
    import whisper

    whisper_model = whisper.load_model(str(model), device="cpu")
    heads = torch.load(model, weights_only=True)["alignment_heads"]
    if heads:
        mask = torch.zeros(whisper_model.dims.n_text_layer, whisper_model.dims.n_text_head, dtype=torch.bool)
        mask[tuple(zip(*heads, strict=True))] = True
        whisper_model.register_buffer("alignment_heads", mask.to_sparse(), persistent=False)

    def transcribe(file: str) -> dict[str, Any]:
        options = {"condition_on_previous_text": condition, "word_timestamps": words}
        result = whisper_model.transcribe(file, language="en", temperature=0.0, fp16=False, **options)
        return {
            "text": result["text"],
            "segments": [(s["start"], s["end"], s["text"]) for s in result["segments"]],
            "words": [(w["start"], w["end"], w["word"]) for s in result["segments"] for w in s.get("words", ())],
        }

    return transcribe


def faster_whisper(model: Path, condition: bool, words: bool) -> Callable[[str], dict[str, Any]]:
    from faster_whisper import WhisperModel

    whisper_model = WhisperModel(str(model), device="cpu", compute_type="float32")

    def transcribe(file: str) -> dict[str, Any]:
        options = {"condition_on_previous_text": condition, "word_timestamps": words}
        segments = list(whisper_model.transcribe(file, language="en", beam_size=1, temperature=0.0, **options)[0])
        return {
            "text": "".join(s.text for s in segments),
            "segments": [(s.start, s.end, s.text) for s in segments],
            "words": [(w.start, w.end, w.word) for s in segments for w in s.words or ()],
        }

    return transcribe


class Peer(NamedTuple):
    """How to convert weights for a program, and how to load it for transcribing one file after the other."""

    convert: Callable[[Path, Path], None]
    load: Callable[[Path, bool, bool], Callable[[str], dict[str, Any]]]


PEERS = {
    "openai-whisper": Peer(openai_weights, openai_whisper),
    "faster-whisper": Peer(ctranslate2_weights, faster_whisper),
}


def attempt(transcribe: Callable[[str], dict[str, Any]], file: str) -> Result:
    """One file's Result; whatever the peer raises becomes its error, so that the other files are still compared."""
    started = time.process_time()
    try:
        made = transcribe(file)
    except Exception as exc:
        return Result(file, "", [], [], time.process_time() - started, f"{type(exc).__name__}: {exc}")
    return Result(file, **made, cpu_s=round(time.process_time() - started, 3))


def main() -> None:
    """The command line that `run` uses: greedy decoding, and each peer's defaults otherwise."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    convert = commands.add_parser("convert", help="write the weights in the peer's own format")
    transcribe = commands.add_parser("transcribe", help="print a JSON line for each file")
    transcribe.add_argument("--no-condition", action="store_true", help="hide each window's text from the next")
    transcribe.add_argument("--words", action="store_true", help="with the times of words")
    for command in (convert, transcribe):
        command.add_argument("peer", choices=PEERS)
    convert.add_argument("weights", type=Path)
    convert.add_argument("target", type=Path)
    transcribe.add_argument("model", type=Path)
    transcribe.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    peer = PEERS[arguments.peer]
    if arguments.command == "convert":
        peer.convert(arguments.weights, arguments.target)
        return
    hear = peer.load(arguments.model, not arguments.no_condition, arguments.words)
    for file in arguments.files:
        print(json.dumps(attempt(hear, file)._asdict()), flush=True)


if __name__ == "__main__":
    main()
