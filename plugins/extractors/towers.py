"""CLIP towers of the installed open_clip: vision transformers with open_clip's own text transformer and tokenizer.

Residual networks and the vision transformers of timm are refused: DA-CLIP's links join blocks of one width by number,
and its published names are those of open_clip's vision transformer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import normalize

from unirestorer.core.errors import ConfigError, UnknownNameError
from unirestorer.core.vision import prepare_torchvision

from .configs import TowerConfig

prepare_torchvision()

import open_clip  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor, nn

VOCABULARY = 49408
"""Words of open_clip's tokenizer."""
_REFUSED = {
    "timm_model_name": "a timm vision tower",
    "hf_model_name": "a Hugging Face text tower",
    "hf_tokenizer_name": "a Hugging Face tokenizer",
    "patch_dropout": "patches left out at random",
}


def settings(tower: str | TowerConfig) -> dict[str, Any]:
    """``embed_dim``, ``vision_cfg``, ``text_cfg`` and ``quick_gelu`` of a tower.

    Raises ``UnknownNameError``, or ``ConfigError`` for a CLIP that cannot be controlled.
    """
    if isinstance(tower, TowerConfig):
        found = tower.model_dump(mode="python")
    elif tower not in open_clip.list_models():
        raise UnknownNameError("tower", tower, filter(usable, open_clip.list_models()))
    else:
        found = {"quick_gelu": False, **open_clip.get_model_config(tower)}
    reason = _unusable(found)
    if reason:
        name = tower if isinstance(tower, str) else "of one's own"
        raise ConfigError(f"extractor.config.tower {name}: {reason}; wanted a vision transformer of open_clip")
    return found


def usable(name: str) -> bool:
    """Whether open_clip's model ``name`` can be controlled."""
    return not _unusable(open_clip.get_model_config(name))


def _unusable(found: Mapping[str, Any]) -> str:
    """What speaks against this CLIP; empty where nothing does."""
    vision, text = found["vision_cfg"], found["text_cfg"]
    for key, what in _REFUSED.items():
        if vision.get(key) or text.get(key):
            return what
    if not isinstance(vision.get("layers", 12), int):
        return "a residual network"
    if not isinstance(vision.get("image_size", 224), int):
        return f"images of {vision['image_size']} pixels, not square ones"
    patch, side = vision.get("patch_size", 16), vision.get("image_size", 224)
    if isinstance(patch, int) and patch > side:
        return f"patches of {patch} pixels in images of {side}"
    if vision.get("pool_type") == "none":
        return "no pooled embedding"
    if "multimodal_cfg" in found:
        return "a captioning model"
    if text.get("vocab_size", VOCABULARY) != VOCABULARY:
        return f"a vocabulary of {text['vocab_size']} words, wanted the tokenizer's {VOCABULARY}"
    return ""


def side_of(tower: str | TowerConfig) -> int:
    """Side in pixels of the images that the tower takes."""
    return int(settings(tower)["vision_cfg"].get("image_size", 224))


def build_clip(tower: str | TowerConfig) -> nn.Module:
    """The whole CLIP with random weights, to be frozen: ``visual`` and the text transformer."""
    clip: nn.Module = _build(settings(tower))
    return clip


def build_visual(tower: str | TowerConfig) -> nn.Module:
    """The vision tower alone, with random weights; a text tower of one letter is made and dropped with it."""
    text = {"context_length": 1, "vocab_size": 1, "width": 1, "heads": 1, "layers": 1}
    visual: nn.Module = _build({**settings(tower), "text_cfg": text}).visual
    return visual


def _build(found: Mapping[str, Any]) -> Any:
    try:
        return open_clip.CLIP(
            found["embed_dim"],
            open_clip.CLIPVisionCfg(**found["vision_cfg"]),
            open_clip.CLIPTextCfg(**found["text_cfg"]),
            quick_gelu=found["quick_gelu"],
        )
    except (TypeError, ValueError, AssertionError, ArithmeticError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"extractor.config.tower: open_clip cannot build it: {reason}; check its fields") from error


def published(tower: str, name: str) -> Mapping[str, Any]:
    """What open_clip knows of the weights ``name`` of ``tower``: ``hf_hub``, ``mean``, ``std``, ``quick_gelu``."""
    known = open_clip.list_pretrained_tags_by_model(tower)
    if name not in known:
        raise UnknownNameError(f"weights of {tower}", name, known)
    found: Mapping[str, Any] = open_clip.get_pretrained_cfg(tower, name)
    return found


@torch.no_grad()
def embed_texts(clip: Any, texts: Sequence[str]) -> Tensor:
    """Unit embeddings (T, D) of ``texts`` by the text tower of ``clip``; what is too long is cut by the tokenizer."""
    parts = []
    for start in range(0, len(texts), 256):
        tokens = open_clip.tokenize(list(texts[start : start + 256]), context_length=clip.context_length)
        parts.append(normalize(clip.encode_text(tokens), dim=1))
    return torch.cat(parts)
