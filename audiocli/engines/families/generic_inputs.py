"""From a request to what `generate` takes, for models of many makers: one function for each way to lay out a prompt.

In go Requests, out come tensors of one row: input_ids, attention_mask and features. Each request is prepared by itself,
so that its company in a batch changes nothing of it; `together` makes the batch. Where the count of audio tokens is
known it is held against what came out: audio that a processor cut off shows there. Knows no weights.
Third parties: torch, transformers; mistral-common behind it.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import transformers
from jinja2 import TemplateError
from transformers.audio_utils import mel_filter_bank

from audiocli.engines.families.chat import messages
from audiocli.engines.families.generic import HOP, SHORTEST, Row
from audiocli.errors import EngineError
from audiocli.records import RATE, Request, Waveform

Tensors = dict[str, torch.Tensor]
Prepare = Callable[[Request], Mapping[str, Any]]
HERE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""How files are read: none is fetched, no code in them is run."""


# ---- by the processor and its template


class Processor:
    """Laid out by the checkpoint's own processor and chat template."""

    def __init__(self, folder: Path, row: Row) -> None:
        self.processor = transformers.AutoProcessor.from_pretrained(folder, **HERE)  # type: ignore[no-untyped-call]
        if not getattr(self.processor, "tokenizer", None):
            raise ValueError("it has no processor that joins text and audio")
        self.tokenizer = self.processor.tokenizer
        self.tokenizer.padding_side = "left"
        self.audio_id = getattr(self.processor, "audio_token_id", None)
        self._row = row
        if not getattr(self.processor, "chat_template", None):
            raise ValueError("it has no chat template, so how to ask it is not known")

    def __call__(self, request: Request) -> Mapping[str, Any]:
        if self._row.requests:
            return self._transcript(request)
        try:
            return self._asked(messages(request))
        except TemplateError:  # some templates refuse system prompts
            return self._asked(messages(folded(request)))

    def _asked(self, conversation: list[dict[str, Any]]) -> Mapping[str, Any]:
        # padding goes to the tokenizer alone: as a bare option it reaches the feature extractors, too, and breaks some
        found: Mapping[str, Any] = self.processor.apply_chat_template(
            [conversation],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            sanitize_control_tokens=True,
            processor_kwargs={"text_kwargs": {"padding": True}},
        )
        return found

    def _transcript(self, request: Request) -> Mapping[str, Any]:
        """As the makers ask for a transcript; what could have come before is given where they have a place for it."""
        more: dict[str, Any] = {}
        if request.language and self._row.languages:
            more["language"] = request.language
        if request.initial_prompt and self._row.languages:
            more["prompt"] = plain(request.initial_prompt, self.tokenizer)
        found: Mapping[str, Any] = self.processor.apply_transcription_request(audio=list(request.clips), **more)
        return found


# ---- by Mistral's own tokenizer


class Mistral:
    """Voxtral: text is never taken for marks, and audio goes in as the bytes of a file."""

    def __init__(self, folder: Path, row: Row) -> None:
        self.processor = transformers.AutoProcessor.from_pretrained(folder, **HERE)  # type: ignore[no-untyped-call]
        self.tokenizer, self.audio_id = self.processor.tokenizer, int(self.processor.audio_token_id)

    def __call__(self, request: Request) -> Mapping[str, Any]:
        return self._transcript(request) if request.task == "transcribe" else self._answer(request)

    def _transcript(self, request: Request) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.processor.apply_transcription_request(
            audio=list(request.clips),
            model_id="voxtral",  # a field of the request that nothing reads
            language=request.language,
            sampling_rate=RATE,
            format=["wav"] * len(request.clips),
        )
        return found

    def _answer(self, request: Request) -> Mapping[str, Any]:
        """Its makers say that system prompts are not supported, so who it is to be stands before the question."""
        clips = [{"type": "audio", "base64": _wav(clip)} for clip in request.clips]
        user = {"role": "user", "content": [*clips, {"type": "text", "text": folded(request).prompt}]}
        found: Mapping[str, Any] = self.processor.apply_chat_template([[user]])
        return found


def _wav(clip: Waveform) -> str:
    """float32 samples as they are, in a WAV file, in base64."""
    file = io.BytesIO()
    soundfile.write(file, clip, RATE, format="WAV", subtype="FLOAT")
    return base64.b64encode(file.getvalue()).decode()


# ---- by the tokenizer's template, or by turns of our own; features without a processor


class Thinker:
    """Qwen's omni models: their processors want image and video processors, which need torchvision, so they are not
    used. The template writes one mark for each clip; here it is repeated as often as the clip has tokens."""

    def __init__(self, folder: Path, row: Row) -> None:
        self.tokenizer = _tokenizer(folder)
        self.tokenizer.chat_template = self.tokenizer.chat_template or _template(folder)
        self._features = transformers.WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
        self._row = row
        self.audio_id = _mark(self.tokenizer, getattr(self.tokenizer, "audio_token", None) or "<|AUDIO|>")

    def __call__(self, request: Request) -> Mapping[str, Any]:
        ids = self.tokenizer.apply_chat_template(
            messages(request), add_generation_prompt=True, sanitize_control_tokens=True, return_dict=True
        )["input_ids"]
        assert self._row.tokens is not None
        counts = [self._row.tokens(len(clip)) for clip in request.clips]
        features = [self._hear(clip) for clip in request.clips]
        return {**_ids(_repeated(ids, self.audio_id, counts)), **(together_features(features) if features else {})}

    def _hear(self, clip: Waveform) -> Tensors:
        """input_features (1, 128, frames), feature_attention_mask (1, frames).

        Qwen2.5-Omni's processor fills every clip up to 300 s. What lies behind the clip is masked, so a few frames do:
        the features of the clip are the same, and a half-minute takes a tenth of the work.
        """
        whole = self._features.n_samples > 30 * RATE
        padding: dict[str, Any] = {"padding": True}
        if whole:
            padding = {"padding": "max_length", "max_length": _up(len(clip), HOP) + self._features.n_fft}
        found = self._features(
            clip, sampling_rate=RATE, truncation=False, return_attention_mask=True, return_tensors="pt", **padding
        )
        return {"input_features": found.input_features, "feature_attention_mask": found.attention_mask}


@dataclass(frozen=True, slots=True)
class Turns:
    """How a family writes a conversation: marks before and behind its texts."""

    system: tuple[str, str]
    user: tuple[str, str]
    answer: str
    audio: str
    """Stands once for each token of a clip."""


GRANITE = Turns(
    system=("<|start_of_role|>system<|end_of_role|>", "<|end_of_text|>\n"),
    user=("<|start_of_role|>user<|end_of_role|>", "<|end_of_text|>\n"),
    answer="<|start_of_role|>assistant<|end_of_role|>",
    audio="<|audio|>",
)
PHI4 = Turns(system=("<|system|>", "<|end|>"), user=("<|user|>", "<|end|>"), answer="<|assistant|>", audio="<|audio|>")


class Written:
    """Granite-Speech and Phi-4-multimodal: their processors need torchaudio or torchvision, and their templates take
    the clip's mark for text, where it could not be told from one that a user wrote."""

    def __init__(self, folder: Path, row: Row, turns: Turns, hear: Callable[[Waveform], Tensors]) -> None:
        self.tokenizer = _tokenizer(folder)
        self._row, self._turns, self._hear = row, turns, hear
        self.audio_id = _mark(self.tokenizer, turns.audio)

    def __call__(self, request: Request) -> Mapping[str, Any]:
        turns, tokens = self._turns, self._row.tokens
        assert tokens is not None
        ids = self._turn(turns.system, (), request.system) if request.system else []
        counts = [tokens(len(clip)) for clip in request.clips]
        ids += self._turn(turns.user, counts, request.prompt) + self._marks(turns.answer)
        features = [self._hear(clip) for clip in request.clips]
        return {**_ids(ids), **(together_features(features) if features else {})}

    def _turn(self, marks: tuple[str, str], counts: Sequence[int], text: str) -> list[int]:
        words = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return [*self._marks(marks[0]), *[self.audio_id] * sum(counts), *words, *self._marks(marks[1])]

    def _marks(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))


def granite(folder: Path, row: Row) -> Written:
    """With its log-mel spectrogram computed here, as transformers has it computed by torchaudio."""
    filters, tokens = granite_filters(), row.tokens
    assert tokens is not None
    return Written(folder, row, GRANITE, lambda clip: granite_features(clip, filters, tokens(len(clip))))


def granite_filters() -> torch.Tensor:
    """Triangles on HTK's mel scale, not normalized: float32 (257, 80)."""
    filters = mel_filter_bank(257, 80, 0.0, RATE / 2, RATE, norm=None, mel_scale="htk")
    return torch.from_numpy(filters.astype(np.float32))


def granite_features(clip: Waveform, filters: torch.Tensor, tokens: int) -> Tensors:
    """input_features (1, frames // 2, 160), input_features_mask (1, tokens): pairs of log-mel frames, side by side.

    filters: (257, 80). The settings are those of transformers' GraniteSpeechFeatureExtractor: a Hann window of 25 ms,
    512 points, power, HTK's mel scale without normalisation, decades, the loudest 8 of them kept.
    """
    spectrum = torch.stft(
        torch.from_numpy(clip), 512, HOP, 400, torch.hann_window(400), center=True, return_complex=True
    )
    mel = (spectrum.abs().square().T @ filters).clamp_min(1e-10).log10()
    mel = torch.maximum(mel, mel.max() - 8.0) / 4 + 1
    pairs = mel[: len(mel) // 2 * 2].reshape(1, -1, 160)
    return {"input_features": pairs, "input_features_mask": torch.ones(1, tokens, dtype=torch.bool)}


def phi4(folder: Path, row: Row) -> Written:
    """With transformers' own feature extractor, which is read here without the processor around it."""
    extractor = transformers.Phi4MultimodalFeatureExtractor.from_pretrained(folder, local_files_only=True)

    def hear(clip: Waveform) -> Tensors:
        """audio_input_features (1, frames, 80), audio_embed_sizes (1,)."""
        found = extractor([clip], sampling_rate=RATE, return_tensors="pt")
        return {name: found[name] for name in ("audio_input_features", "audio_embed_sizes")}

    return Written(folder, row, PHI4, hear)


# ---- batches


def together(rows: Sequence[Mapping[str, Any]], pad_id: int) -> Tensors:
    """One batch of prepared requests: texts filled up on the left, as generate reads the last position."""
    ids = [row["input_ids"][0] for row in rows]
    marks = [row["attention_mask"][0] for row in rows]
    texts = {"input_ids": left(ids, pad_id), "attention_mask": left(marks, 0)}
    features = [{name: value for name, value in row.items() if name not in texts} for row in rows]
    return {**texts, **together_features(features)}


def together_features(parts: Sequence[Mapping[str, Any]]) -> Tensors:
    """Features one below the other, filled up behind with zeros, which masks tell apart: (b, …) of each name."""
    return {name: _stacked([torch.as_tensor(part[name]) for part in parts]) for name in parts[0]}


def left(rows: Sequence[torch.Tensor], value: int) -> torch.Tensor:
    """Rows (n,) of several lengths as one (b, n), `value` before the shorter ones."""
    padded: torch.Tensor = torch.nn.utils.rnn.pad_sequence(
        list(rows), batch_first=True, padding_value=value, padding_side="left"
    )
    return padded


def counted(row: Row, clips: Sequence[Waveform], ids: torch.Tensor, audio_id: int) -> None:
    """Raise EngineError unless a prompt (1, n) holds as many audio tokens as its clips make."""
    if row.tokens is None:
        return
    found, due = int(torch.eq(ids, audio_id).sum()), sum(row.tokens(len(clip)) for clip in clips)
    if found != due:
        raise EngineError(f"the model was about to hear {found} audio tokens where its clips make {due}; not asked")


def long_enough(clip: Waveform) -> Waveform:
    """A clip of at least a tenth of a second."""
    return np.pad(clip, (0, max(SHORTEST - len(clip), 0)))


def folded(request: Request) -> Request:
    """Without a system prompt: its words before the question."""
    text = "\n\n".join(part for part in (request.system, request.prompt) if part)
    return replace(request, system="", prompt=text)


def plain(text: str, tokenizer: Any) -> str:
    """Without the tokenizer's marks, for places where it cannot be told what is whose."""
    for mark in tokenizer.added_tokens_encoder:
        text = text.replace(mark, " ")
    return text


def _stacked(parts: list[torch.Tensor]) -> torch.Tensor:
    shape = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    return torch.cat([_filled(part, shape) for part in parts])


def _filled(part: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    padding = [amount for size, want in zip(part.shape[:0:-1], shape[::-1], strict=True) for amount in (0, want - size)]
    return torch.nn.functional.pad(part, padding) if any(padding) else part


def _ids(ids: list[int]) -> Tensors:
    row = torch.tensor([ids])
    return {"input_ids": row, "attention_mask": torch.ones_like(row)}


def _repeated(ids: Sequence[int], mark: int, counts: Sequence[int]) -> list[int]:
    """Each mark as often as its clip has tokens."""
    left = list(counts)
    if sum(token == mark for token in ids) != len(left):
        raise EngineError("the chat template does not write one mark for each clip; not asked")
    return [token for one in ids for token in ([one] * left.pop(0) if one == mark else [one])]


def _tokenizer(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder, **HERE)


def _template(folder: Path) -> str:
    """The chat template where it lies in a file of its own, as processors keep it."""
    path = folder / "chat_template.json"
    if not path.is_file():
        raise ValueError("it has no chat template, so how to ask it is not known")
    return str(json.loads(path.read_text(encoding="utf-8"))["chat_template"])


def _mark(tokenizer: Any, mark: str) -> int:
    number = tokenizer.convert_tokens_to_ids(mark)
    if number is None or number == tokenizer.unk_token_id:
        raise ValueError(f"its tokenizer does not know {mark}, the mark of a clip")
    return int(number)


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
