"""An Ultravox in memory: clips and text in, what its language model's `generate` takes out.

A clip becomes a log-mel spectrogram, pieces of 30 s, encoder states, and at last embeddings that stand in the prompt
where the clip stands. Each clip is encoded by itself, so that its company in a batch changes nothing; the reference
code pads it to the longest of the batch, and short clips change. Third parties: torch, transformers.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoTokenizer, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from audiocli.engines import EngineOptions
from audiocli.engines.checkpoints import Checkpoint
from audiocli.engines.families import ultravox_weights as weights
from audiocli.engines.families.chat import Chat, Manner
from audiocli.engines.families.encodings import Encodings
from audiocli.engines.families.loading import loading
from audiocli.engines.families.ultravox_weights import Projector
from audiocli.records import RATE, Request, Waveform

HOP = 160
"""Samples of a spectrogram's frame: 10 ms."""
FEWEST_FRAMES = 2
"""Shorter clips are filled up to this, as the reference code does."""
AUDIO_MARK = "<|audio|>"
"""Where the audio stands, in the reference code's prompts. Newer tokenizers have it, at an id without an embedding."""
TURN_ENDS = ("<|eot_id|>", "<end_of_turn>", "<|im_end|>")
"""By which Llama 3, Gemma 3 and Qwen 3 end a turn, where a checkpoint does not say."""
TEMPLATE_SETTINGS = {"enable_thinking": False, "date_string": "26 Jul 2024"}
"""What chat templates ask for. Qwen 3 would think aloud; the makers evaluate without (ultravox/inference/infer.py).
Llama 3 would write today's date, and answer tomorrow otherwise; this is what it writes where it knows none."""

_AUDIO, _CUT = "\ue0a0", "\ue0a1"
"""Of the private use area, and removed from all that comes from outside: a clip's place, and a break between tokens."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What an Ultravox is made of, loaded and in place."""

    language_model: Any
    """A causal language model of transformers."""
    tokenizer: Any
    ear: Ear


def load(
    checkpoint: Checkpoint,
    language_model: Checkpoint | None,
    encoder: Checkpoint | None,
    *,
    device: str,
    dtype: str,
    options: EngineOptions,
) -> Chat:
    """language_model, encoder: what the checkpoint points to; None where it holds its own.

    Raises ModelError for anything that keeps it from being loaded.
    """
    if language_model:
        log.info("%s speaks through %s (%s)", checkpoint.name, language_model.name, language_model.revision)
    with loading(checkpoint):
        parts = read(checkpoint, language_model, encoder, device=device, dtype=dtype, options=options)
        prompts = Prompts(parts)
    model, tokenizer = parts.language_model, parts.tokenizer
    return Chat(
        model,
        tokenizer,
        prompts.prepare,
        _manner(model.generation_config, tokenizer, options),
        options.sampling,
        audio_tokens=parts.ear.tokens,
        context=getattr(model.config.get_text_config(), "max_position_embeddings", None),
    )


def read(
    checkpoint: Checkpoint,
    language_model: Checkpoint | None,
    encoder: Checkpoint | None,
    *,
    device: str,
    dtype: str,
    options: EngineOptions,
) -> Parts:
    """As `load`, but what is wrong with the files comes as it is."""
    precision = getattr(torch, dtype)
    hearing = weights.encoder(checkpoint, encoder, precision)
    model = weights.language_model(checkpoint, language_model, device, dtype, options)
    width = model.get_input_embeddings().weight.shape[1]
    projector = weights.projector(checkpoint, hearing.config.d_model, width, precision)
    ear = Ear(hearing, projector).to(device).eval()
    return Parts(model, _tokenizer(checkpoint, language_model), ear)


class Ear(nn.Module):
    """Whisper's encoder and the projector: from a clip to embeddings of the language model.

    Unlike Whisper it hears clips of under 30 s without padding, and does not attend to padding where there is some
    (the reference code's ModifiedWhisperEncoder).
    """

    def __init__(self, encoder: WhisperEncoder, projector: Projector) -> None:
        super().__init__()
        self.encoder, self.projector = encoder, projector
        self._piece = 2 * encoder.max_source_positions
        self._features = WhisperFeatureExtractor(feature_size=encoder.num_mel_bins)  # type: ignore[no-untyped-call]

    def tokens(self, samples: int) -> int:
        """What a clip of so many samples takes of the context: 188 for a full piece of 30 s."""
        full, rest = divmod(_frames(samples), self._piece)
        per_token = 2 * self.projector.stack
        return full * ceil(self._piece / per_token) + ceil(rest / per_token)

    def forward(self, clip: Waveform) -> torch.Tensor:
        """clip: float32 (n,), of any length. Embeddings (tokens(n), width).

        A clip of one piece goes as it is; of a longer one all pieces are full, the last one filled up with zeros.
        """
        mel = self._mel(clip)
        frames = mel.shape[1]
        last = frames % self._piece or self._piece
        if frames > self._piece:
            mel = functional.pad(mel, (0, -frames % self._piece))
        pieces = mel.reshape(len(mel), -1, min(frames, self._piece)).transpose(0, 1)
        embeddings: torch.Tensor = self.projector(self._states(pieces, last))
        # at its end the last piece may hold embeddings of nothing but padding
        return embeddings.flatten(0, 1)[: self.tokens(len(clip))].clone()

    def _mel(self, clip: Waveform) -> torch.Tensor:
        """(bins, frames), normalised over the whole clip. It is never cut: the extractor would, at 30 s."""
        samples = np.pad(clip, (0, _frames(len(clip)) * HOP - len(clip)))
        weight = self.encoder.conv1.weight
        features = self._features(
            samples, sampling_rate=RATE, padding="longest", truncation=False, return_tensors="pt"
        ).input_features
        mel: torch.Tensor = features[0]
        return mel.to(weight.device, weight.dtype)

    def _states(self, pieces: torch.Tensor, last: int) -> torch.Tensor:
        """Encoder states (b, ceil(n / 2), d) of pieces (b, bins, n), whose last one has but `last` frames of audio."""
        encoder = self.encoder
        states = functional.gelu(encoder.conv2(functional.gelu(encoder.conv1(pieces)))).transpose(1, 2)
        states = states + encoder.embed_positions.weight[: states.shape[1]]
        mask = _padding_mask(states, ceil(last / 2)) if last < pieces.shape[2] else None
        for layer in encoder.layers:
            states = layer(states, mask)
        normed: torch.Tensor = encoder.layer_norm(states)
        return normed


class Prompts:
    """Lays out a batch of requests for the language model."""

    def __init__(self, parts: Parts) -> None:
        self._tokenizer, self._ear = parts.tokenizer, parts.ear
        self._embed = parts.language_model.get_input_embeddings()
        self._encodings = Encodings()
        marks = {mark for mark in self._tokenizer.added_tokens_encoder if mark.strip()} | {AUDIO_MARK}
        self._marks = re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))))
        self._rendered(Request((np.zeros(1, np.float32),), "What is said?", "You listen."))  # a template may refuse

    def prepare(self, requests: Sequence[Request]) -> dict[str, torch.Tensor]:
        """inputs_embeds (b, n, width) and attention_mask int64 (b, n), padded on the left."""
        rows = [self._row(request) for request in requests]
        length = max(map(len, rows))
        masks = [functional.pad(row.new_ones(len(row), dtype=torch.long), (length - len(row), 0)) for row in rows]
        return {
            "inputs_embeds": torch.stack([functional.pad(row, (0, 0, length - len(row), 0)) for row in rows]),
            "attention_mask": torch.stack(masks),
        }

    def _row(self, request: Request) -> torch.Tensor:
        """One prompt as embeddings (n, width)."""
        clips, parts = iter(self._encodings.get(request.clips, lambda absent: list(map(self._ear, absent)))), []
        for part in re.split(f"({_AUDIO})|{_CUT}", self._rendered(request)):
            if part == _AUDIO:
                parts.append(next(clips))
            elif part:
                parts.append(self._tokenizer.encode(part, add_special_tokens=False, return_tensors="pt")[0])
        return torch.cat([part if part.is_floating_point() else self._embedded(part) for part in parts])

    def _rendered(self, request: Request) -> str:
        """The chat template's text, with `_AUDIO` for each clip, in order, behind the text.

        There the makers have it: "Repeat the following text, without any explanation: <|audio|>" is what they train
        and evaluate transcription with (ultravox/data/types.py), and where their pipeline adds it to a prompt.
        """
        turns = [{"role": "system", "content": self._plain(request.system)}] if request.system else []
        words = [self._plain(request.prompt)] if request.prompt else []
        turns.append({"role": "user", "content": " ".join([*words, *[_AUDIO] * len(request.clips)])})
        rendered = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, **TEMPLATE_SETTINGS
        )
        if rendered.count(_AUDIO) != len(request.clips):
            raise ValueError("its chat template does not pass on what the user says")
        return str(rendered)

    def _plain(self, text: str) -> str:
        """The text with its control tokens taken to pieces: what a user or a recording says ends no turn."""
        bare = text.replace(_AUDIO, "").replace(_CUT, "")
        return self._marks.sub(lambda mark: _CUT.join(mark[0]) + _CUT, bare)

    def _embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self._embed(tokens.to(self._embed.weight.device))
        return embeddings


def _frames(samples: int) -> int:
    return max(ceil(samples / HOP), FEWEST_FRAMES)


def _padding_mask(states: torch.Tensor, last: int) -> torch.Tensor:
    """What is added to attention scores, (b, 1, 1, n), so that the last row's states from `last` on are not heard."""
    mask = states.new_zeros(len(states), 1, 1, states.shape[1])
    mask[-1, :, :, last:] = torch.finfo(states.dtype).min
    return mask


def _tokenizer(checkpoint: Checkpoint, language_model: Checkpoint | None) -> Any:
    """The language model's own where it has one: its embeddings are numbered by it."""
    open_ = partial(AutoTokenizer.from_pretrained, trust_remote_code=False, local_files_only=True)
    folders = [found.folder for found in (language_model, checkpoint) if found]
    tokenizers = [open_(folder) for folder in folders if (folder / "tokenizer_config.json").is_file()]
    if not tokenizers:
        raise ValueError("neither it nor its language model brings a tokenizer")
    templates = [tokenizer.chat_template for tokenizer in tokenizers if tokenizer.chat_template]
    if not templates:
        raise ValueError("neither it nor its language model brings a chat template")
    tokenizers[0].chat_template = templates[0]
    return tokenizers[0]


def _manner(generation: Any, tokenizer: Any, options: EngineOptions) -> Manner:
    """No repetition penalty: the makers' pipeline has 1.1 by default, which also counts the placeholders of the audio,
    that is the end token; their evaluations have none (ultravox/inference/infer.py), and in a transcript of minutes it
    would weigh against every name and article that was said before.
    """
    configured = generation.eos_token_id
    ends = set(configured if isinstance(configured, list) else [configured]) | {tokenizer.eos_token_id}
    ends |= {tokenizer.added_tokens_encoder.get(end) for end in TURN_ENDS}
    end_ids = tuple(sorted(end for end in ends if end is not None))
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (*end_ids, 0)[0]
    return Manner(end_ids=end_ids, pad_id=pad_id, static_cache=options.compile)
