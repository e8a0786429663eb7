"""Small audio-LLMs with random weights: true classes, true processors, and the files that their repositories hold.

They prove plumbing, counts and equalities, never quality. Weights are drawn wide, so that what is said depends on the
audio. Each function writes one checkpoint into a folder of its own, in well under a second once torch is imported.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tiny_tokenizer
import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig, PreTrainedTokenizerFast, WhisperFeatureExtractor
from transformers.utils import logging as transformers_logging

WIDTH = 0.3
"""Standard deviation of the weights; the usual 0.02 answers everything alike, and 0.12 hardly hears a second of 300."""
PAD, END = "<|endoftext|>", "<|im_end|>"
LANGUAGE_MODEL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "bos_token_id": None,
}
ENCODER: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_mel_bins": 128,
}
WHISPER_ENCODER: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "num_mel_bins": 128,
}
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}AUDIO{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen's layout; AUDIO stands for how a family writes a clip."""


def audioflamingo3(folder: Path) -> Path:
    tokenizer = _tokenizer(["<sound>"], CHATML.replace("AUDIO", "<sound>"))
    config = tf.AudioFlamingo3Config(
        audio_config={"model_type": "audioflamingo3_encoder", "d_model": 32, **ENCODER},
        text_config=_text(tokenizer, "qwen2"),
        audio_token_id=tokenizer.convert_tokens_to_ids("<sound>"),
    )
    tf.AudioFlamingo3Processor(_features(), tokenizer, chat_template=tokenizer.chat_template).save_pretrained(folder)
    return _save(folder, tf.AudioFlamingo3ForConditionalGeneration(config), tokenizer)


def musicflamingo(folder: Path) -> Path:
    """A type that audiocli has no row for."""
    marks = ["<sound>", "<|sound_bos|>", "<|sound_eos|>"]
    tokenizer = _tokenizer(marks, CHATML.replace("AUDIO", "<sound>"))
    sound, begin, end = tokenizer.convert_tokens_to_ids(marks)
    config = tf.MusicFlamingoConfig(
        audio_config={"model_type": "audioflamingo3_encoder", "d_model": 32, **ENCODER},
        text_config=_text(tokenizer, "qwen2"),
        audio_token_id=sound,
        audio_bos_token_id=begin,
        audio_eos_token_id=end,
    )
    tf.MusicFlamingoProcessor(_features(), tokenizer, chat_template=tokenizer.chat_template).save_pretrained(folder)
    return _save(folder, tf.MusicFlamingoForConditionalGeneration(config), tokenizer)


def glmasr(folder: Path) -> Path:
    marks = ["<|pad|>", "<|begin_of_audio|>", "<|end_of_audio|>"]
    tokenizer = _tokenizer(marks, CHATML.replace("AUDIO", "<|begin_of_audio|><|pad|><|end_of_audio|>"))
    config = tf.GlmAsrConfig(
        audio_config={"model_type": "glmasr_encoder", **ENCODER, "intermediate_size": 128},
        text_config=_text(tokenizer, "llama"),
        audio_token_id=tokenizer.convert_tokens_to_ids("<|pad|>"),
        tie_word_embeddings=False,
    )
    tf.GlmAsrProcessor(_features(), tokenizer, chat_template=tokenizer.chat_template).save_pretrained(folder)
    return _save(folder, tf.GlmAsrForConditionalGeneration(config), tokenizer)


def qwen3_asr(folder: Path) -> Path:
    named = {"audio_token": "<|audio_pad|>", "audio_bos_token": "<|audio_start|>", "audio_eos_token": "<|audio_end|>"}
    template = CHATML.replace("AUDIO", "<|audio_start|><|audio_pad|><|audio_end|>")
    tokenizer = _tokenizer(list(named.values()), template, extra_special_tokens=named)
    tokenizer.add_tokens(["<asr_text>"])
    config = tf.Qwen3ASRConfig(
        audio_config={
            "model_type": "qwen3_asr_encoder",
            **WHISPER_ENCODER,
            "output_dim": 64,
            "downsample_hidden_size": 16,
        },
        text_config=_text(tokenizer, "qwen3", head_dim=16),
        audio_token_id=tokenizer.convert_tokens_to_ids("<|audio_pad|>"),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    extractor = tf.Qwen3ASRFeatureExtractor()
    tf.Qwen3ASRProcessor(extractor, tokenizer, chat_template=template).save_pretrained(folder)
    return _save(folder, tf.Qwen3ASRForConditionalGeneration(config), tokenizer)


OMNI = {
    "image_token": "<|IMAGE|>",
    "audio_token": "<|AUDIO|>",
    "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}


def qwen2_5_omni_thinker(folder: Path) -> Path:
    tokenizer, ids = _omni_tokenizer()
    model = tf.Qwen2_5OmniThinkerForConditionalGeneration(_qwen2_5_omni_config(tokenizer, ids))
    _features(chunk_length=300).save_pretrained(folder)
    return _save(folder, model, tokenizer)


def qwen2_5_omni(folder: Path) -> Path:
    """The layout of the whole, with its template in a file apart, as the published one has it."""
    qwen2_5_omni_thinker(folder)
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}), encoding="utf-8")
    return _whole(folder, "qwen2_5_omni")


def qwen3_omni_moe_thinker(folder: Path) -> Path:
    tokenizer, ids = _omni_tokenizer()
    model = tf.Qwen3OmniMoeThinkerForConditionalGeneration(_qwen3_omni_config(tokenizer, ids))
    _features().save_pretrained(folder)
    return _save(folder, model, tokenizer)


def qwen3_omni_moe(folder: Path) -> Path:
    return _whole(qwen3_omni_moe_thinker(folder), "qwen3_omni_moe")


def granite_speech(folder: Path, *, adapter: bool = False) -> Path:
    """adapter: whether the language model was tuned to speech by a LoRA of its own, as the published ones are."""
    marks = ["<|start_of_role|>", "<|end_of_role|>", "<|audio|>"]
    tokenizer = _tokenizer(marks, None, end=PAD, pad=PAD)
    config = tf.GraniteSpeechConfig(
        text_config=_text(tokenizer, "granite"),
        encoder_config={
            "model_type": "granite_speech_encoder",
            "hidden_dim": 32,
            "num_layers": 2,
            "num_heads": 4,
            "dim_head": 8,
            "output_dim": 42,
        },
        projector_config={
            "model_type": "blip_2_qformer",
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "encoder_hidden_size": 32,
        },
        has_lora_adapter=adapter,
        audio_token_index=tokenizer.convert_tokens_to_ids("<|audio|>"),
        tie_word_embeddings=False,
    )
    extractor = {"feature_extractor_type": "GraniteSpeechFeatureExtractor", "sampling_rate": 16000, "n_mels": 80}
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor), encoding="utf-8")
    model = tf.GraniteSpeechForConditionalGeneration(config)
    if adapter:
        _draw(model)
        add_adapter(model, "language_model")
        model.config.save_pretrained(folder)  # an adapter looks there for the size of the vocabulary
    return _save(folder, model, tokenizer, drawn=adapter)


def phi4_multimodal(folder: Path, *, adapter: bool = False) -> Path:
    """adapter: whether a LoRA for speech lies in a folder of its own, as in the published repository."""
    tokenizer = _tokenizer(
        ["<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<|image|>", "<|audio|>"], None, end="<|end|>"
    )
    audio = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_blocks": 2,
        "num_attention_heads": 4,
        "ext_pw_out_channel": 32,
        "depthwise_separable_out_channel": 32,
        "nemo_conv_channels": 32,
        "audio_token_id": tokenizer.convert_tokens_to_ids("<|audio|>"),
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "crop_size": 28,
        "image_token_id": tokenizer.convert_tokens_to_ids("<|image|>"),
    }
    text = _text(tokenizer, "phi3")
    text.pop("model_type")
    config = tf.Phi4MultimodalConfig(**text, audio_config=audio, vision_config=vision)
    tf.Phi4MultimodalFeatureExtractor().save_pretrained(folder)
    model = tf.Phi4MultimodalForCausalLM(config)
    _save(folder, model, tokenizer)
    if adapter:
        add_adapter(model, "layers")
        model.save_pretrained(folder / "speech-lora")
        (folder / "speech-lora" / "config.json").unlink(missing_ok=True)
    return folder


def voxtral(folder: Path) -> Path:
    (folder / "tekken.json").write_text(json.dumps(_tekken()), encoding="utf-8")
    text = {**LANGUAGE_MODEL, "model_type": "llama", "vocab_size": 320, "head_dim": 16}
    config = tf.VoxtralConfig(
        audio_config={"model_type": "voxtral_encoder", **ENCODER, "intermediate_size": 128},
        text_config={**text, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 11},
        audio_token_id=24,
    )
    _features().save_pretrained(folder)
    model = tf.VoxtralForConditionalGeneration(config)
    _draw(model)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=11)
    model.save_pretrained(folder)
    return folder


MAKE: dict[str, Callable[[Path], Path]] = {
    "audioflamingo3": audioflamingo3,
    "glmasr": glmasr,
    "granite_speech": granite_speech,
    "musicflamingo": musicflamingo,
    "phi4_multimodal": phi4_multimodal,
    "qwen2_5_omni": qwen2_5_omni,
    "qwen2_5_omni_thinker": qwen2_5_omni_thinker,
    "qwen3_asr": qwen3_asr,
    "qwen3_omni_moe": qwen3_omni_moe,
    "qwen3_omni_moe_thinker": qwen3_omni_moe_thinker,
    "voxtral": voxtral,
}


def make(name: str, folder: Path) -> Path:
    """Write the checkpoint of one model type. The same folder name gives the same weights."""
    transformers_logging.disable_progress_bar()
    folder.mkdir(parents=True)
    return MAKE[name](folder)


def add_adapter(model: Any, within: str) -> None:
    """A LoRA on the queries of the language model, drawn wide, so that it changes what is said."""
    from peft import LoraConfig

    targets = rf".*{within}.*(q_proj|qkv_proj)"
    model.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=targets, init_lora_weights=False))


def _tokenizer(
    marks: Sequence[str], template: str | None, *, end: str = END, pad: str = PAD, **more: Any
) -> PreTrainedTokenizerFast:
    special = list(dict.fromkeys([PAD, "<|im_start|>", END, *marks]))
    return tiny_tokenizer.make(special, end=end, pad=pad, template=template, **more)


def _text(tokenizer: PreTrainedTokenizerFast, model_type: str, **more: Any) -> dict[str, Any]:
    return {
        **LANGUAGE_MODEL,
        "model_type": model_type,
        "vocab_size": (len(tokenizer) + 63) // 64 * 64,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def _features(**more: Any) -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(feature_size=128, **more)


def _omni_tokenizer() -> tuple[PreTrainedTokenizerFast, dict[str, int]]:
    template = CHATML.replace("AUDIO", "<|audio_bos|><|AUDIO|><|audio_eos|>")
    tokenizer = _tokenizer(list(OMNI.values()), template, extra_special_tokens=OMNI)
    return tokenizer, {name: tokenizer.convert_tokens_to_ids(token) for name, token in OMNI.items()}


def _rope(section: list[int], **more: Any) -> dict[str, Any]:
    return {"rope_type": "default", "mrope_section": section, "rope_theta": 1e6, **more}


def _qwen2_5_omni_config(tokenizer: PreTrainedTokenizerFast, ids: dict[str, int]) -> Any:
    text = _text(tokenizer, "qwen2_5_omni_text", rope_parameters=_rope([2, 3, 3]))
    text.pop("model_type")
    return tf.Qwen2_5OmniThinkerConfig(
        audio_config={**WHISPER_ENCODER, "output_dim": 64},
        vision_config={"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 64},
        text_config=text,
        audio_token_index=ids["audio_token"],
        image_token_index=ids["image_token"],
        video_token_index=ids["video_token"],
        audio_start_token_id=ids["audio_bos_token"],
        audio_end_token_id=ids["audio_eos_token"],
        vision_start_token_id=ids["vision_bos_token"],
        vision_end_token_id=ids["vision_eos_token"],
    )


def _qwen3_omni_config(tokenizer: PreTrainedTokenizerFast, ids: dict[str, int]) -> Any:
    text = _text(tokenizer, "qwen3_omni_moe_text", head_dim=16, moe_intermediate_size=32)
    text.pop("model_type")
    rope = _rope([3, 3, 2], mrope_interleaved=True)
    return tf.Qwen3OmniMoeThinkerConfig(
        audio_config={**WHISPER_ENCODER, "output_dim": 64, "downsample_hidden_size": 16},
        vision_config={
            "depth": 1,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": 64,
            "deepstack_visual_indexes": [0],
        },
        text_config={**text, "num_experts": 4, "num_experts_per_tok": 2, "rope_parameters": rope},
        audio_token_id=ids["audio_token"],
        image_token_id=ids["image_token"],
        video_token_id=ids["video_token"],
        audio_start_token_id=ids["audio_bos_token"],
        vision_start_token_id=ids["vision_bos_token"],
    )


def _whole(folder: Path, model_type: str) -> Path:
    """From the thinker alone to the published layout: its weights under a prefix, beside those that speak."""
    weights = load_file(folder / "model.safetensors")
    whole = {f"thinker.{name}": weight for name, weight in weights.items()}
    save_file({**whole, "talker.codec_head.weight": torch.zeros(8, 8)}, folder / "model.safetensors", {"format": "pt"})
    thinker = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = {"model_type": model_type, "thinker_config": thinker, "enable_audio_output": False}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def _tekken() -> dict[str, Any]:
    """Mistral's tokenizer file with the single bytes for its vocabulary; its marks are known by their numbers."""
    known = {0: "<unk>", 1: "<s>", 2: "</s>", 3: "[INST]", 4: "[/INST]", 11: "<pad>"}
    known |= {17: "[SYSTEM_PROMPT]", 18: "[/SYSTEM_PROMPT]", 24: "[AUDIO]", 25: "[BEGIN_AUDIO]", 34: "[TRANSCRIBE]"}
    known |= {5: "[AVAILABLE_TOOLS]", 6: "[/AVAILABLE_TOOLS]", 7: "[TOOL_RESULTS]", 8: "[/TOOL_RESULTS]"}
    known |= {9: "[TOOL_CALLS]", 10: "[IMG]", 12: "[IMG_BREAK]", 13: "[IMG_END]", 14: "[PREFIX]", 15: "[MIDDLE]"}
    known |= {16: "[SUFFIX]", 19: "[TOOL_CONTENT]"}
    marks = [known.get(rank, f"<SPECIAL_{rank}>") for rank in range(64)]
    return {
        "config": {
            "pattern": r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+",
            "num_vocab_tokens": 256,
            "default_vocab_size": 320,
            "default_num_special_tokens": 64,
            "version": "v7",
        },
        "vocab": [
            {"rank": byte, "token_bytes": base64.b64encode(bytes([byte])).decode(), "token_str": None}
            for byte in range(256)
        ],
        "special_tokens": [{"rank": rank, "token_str": mark, "is_control": True} for rank, mark in enumerate(marks)],
        "audio": {
            "sampling_rate": 16000,
            "frame_rate": 12.5,
            "audio_encoding_config": {"num_mel_bins": 128, "hop_length": 160, "window_size": 400},
            "chunk_length_s": 30.0,
        },
    }


def _save(folder: Path, model: Any, tokenizer: PreTrainedTokenizerFast, *, drawn: bool = False) -> Path:
    if not drawn:
        _draw(model)
    ids = {"eos_token_id": [tokenizer.eos_token_id, tokenizer.pad_token_id], "pad_token_id": tokenizer.pad_token_id}
    model.generation_config = GenerationConfig(**ids)
    model.save_pretrained(str(folder))  # as text: peft writes it into its settings
    tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def _draw(model: Any, seed: int = 5) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "embed_positions" not in name:
            parameter.normal_(0.0, WIDTH, generator=generator)
