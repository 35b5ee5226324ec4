"""Captions of photos by BLIP (Li et al. 2022), through transformers: the extra ``captions``.

The paper captions its clean training photos with BLIP (section 3.2), for the content embeddings of its extractor.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from unirestorer.core.errors import ConfigError, MissingExtraError
from unirestorer.core.vision import prepare_torchvision


class Captioner:
    """A BLIP model in memory; equal pictures get equal captions (greedy search)."""

    def __init__(self, model: str | Path, *, download: bool = False) -> None:
        """``model``: a folder as transformers saves it, or a name on the Hugging Face hub, fetched if ``download``.

        Raises ``MissingExtraError`` without transformers, ``ConfigError`` where the model is not there or is no BLIP.
        """
        blip, source = _transformers(), str(model)
        options = {"local_files_only": not download}
        try:
            kind = blip.AutoConfig.from_pretrained(source, **options).model_type
            if kind != "blip":
                raise ConfigError(f"{source}: a model of type '{kind}', wanted BLIP for captions")
            self._processor = blip.BlipProcessor.from_pretrained(source, **options)
            network, report = blip.BlipForConditionalGeneration.from_pretrained(
                source, output_loading_info=True, **options
            )
        except ConfigError:
            raise
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ConfigError(_reason(source, download, error)) from error
        missing = sorted(report["missing_keys"])
        if missing:
            raise ConfigError(f"{source}: no weights for '{missing[0]}'; wanted a BLIP that writes captions")
        self._network = network.eval().to("cuda" if torch.cuda.is_available() else "cpu")

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[NDArray[np.uint8]]) -> list[str]:
        """One caption of at most 30 tokens for each of ``pictures``, uint8 RGB (H, W, 3) of any sizes."""
        inputs: Any = self._processor(images=[Image.fromarray(p) for p in pictures], return_tensors="pt").to(
            self._network.device
        )
        tokens = self._network.generate(**inputs, max_new_tokens=30, num_beams=1, do_sample=False)
        captions = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(caption.split()) or "a photo" for caption in captions]


def _transformers() -> Any:
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtraError("captions need transformers; pip install 'unirestorer[captions]'")
    prepare_torchvision()
    import transformers

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every new try
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def _reason(source: str, download: bool, error: Exception) -> str:
    """One line on why ``source`` cannot be used."""
    if Path(source).is_dir():
        return f"{source}: not a BLIP model as transformers saves it: {' '.join(str(error).split())[:200]}"
    if download:
        return f"{source}: cannot be fetched from huggingface.co; check name and network, or give a folder"
    return f"{source}: not on this machine; add --download to fetch it from huggingface.co, or give a folder"
