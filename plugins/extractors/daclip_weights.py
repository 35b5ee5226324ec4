"""Weights for ``daclip`` and ``finegrained``: of a CLIP, or of a whole DA-CLIP as published (``daclip_ViT-B-32.pt``).

Names of the latter: ``clip.*`` (open_clip's CLIP), ``visual.*`` (its vision tower once more), ``visual_control.*`` with
``transformer.transformer.resblocks.*`` and ``transformer.zero_modules.*``, ``logit_scale``. Of a CLIP the controller
becomes a copy of the vision tower, its links stay at zero.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten

from torch import Tensor

from unirestorer.core.checkpoints import read_state
from unirestorer.core.errors import ConfigError

from .configs import DaClipConfig
from .daclip import DaClip
from .published_weights import require_all
from .towers import build_clip, published, settings

State = Mapping[str, Tensor]
WHERE = "extractor.config.pretrained"
REMEDY = "set extractor.config.tower to the tower of this file"
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def load_pretrained(extractor: DaClip, config: DaClipConfig) -> None:
    """Put the weights that ``config`` names into ``extractor``, and give it their CLIP to be trained against.

    Raises ``UniRestorerError`` naming the file and the first parameter that does not fit.
    """
    if config.pretrained is None:
        return
    path = named_file(config) or published_file(config)
    state: State = read_state(path)
    clip = build_clip(config.tower)
    if not any(name.startswith("visual_control.") for name in state):
        _check(state, clip.state_dict(), path)
        state = _uncontrolled(state, extractor)
    state = {name: tensor for name, tensor in state.items() if not name.startswith("visual.")}
    of_clip = {f"clip.{name}": tensor for name, tensor in clip.state_dict().items()}
    _check(state, of_clip | extractor.state_dict(), path)
    clip.load_state_dict({name.removeprefix("clip."): state[name] for name in of_clip})
    extractor.load_state_dict({name: state[name] for name in extractor.state_dict()})
    extractor.adopt(clip)


def _uncontrolled(clip: State, extractor: DaClip) -> State:
    """The weights of a CLIP as those of a DA-CLIP that was not trained yet."""
    copied = {
        name.replace("visual.transformer.", "visual_control.transformer.transformer.").replace(
            "visual.", "visual_control."
        ): tensor
        for name, tensor in clip.items()
        if name.startswith("visual.")
    }
    kept = {f"clip.{name}": tensor for name, tensor in clip.items()}
    return {**extractor.state_dict(), **kept, **copied, "logit_scale": clip["logit_scale"]}


def _check(given: State, wanted: State, path: Path) -> None:
    """Raise ``ConfigError`` for the first name that is missing, of another shape, or too much."""
    require_all(given, wanted, f"{WHERE}: {path}", "wanted CLIP or DA-CLIP weights of this tower", REMEDY)
    for name in given:
        if name not in wanted:
            raise ConfigError(f"{WHERE}: {path}: unknown parameter '{name}'; {REMEDY}")


def named_file(config: DaClipConfig) -> Path | None:
    """The file that ``pretrained`` is; ``None`` where it is a name of open_clip's."""
    path = Path(config.pretrained or "")
    return path if path.suffix in _SUFFIXES or len(path.parts) > 1 else None


def files(config: DaClipConfig) -> Sequence[Path]:
    """Files whose content the result depends on."""
    path = named_file(config)
    return [path] if path else []


def published_file(config: DaClipConfig) -> Path:
    """Published weights on this machine, fetched first where ``download`` allows it.

    Raises ``UnknownNameError``, or ``ConfigError`` where they are not here, or made for another activation.
    """
    tower, name = config.tower, config.pretrained or ""
    if not isinstance(tower, str):
        raise ConfigError(
            f"{WHERE}: '{name}' is no file, and a tower of one's own has no published weights; give a file"
        )
    known = published(tower, name)
    if known.get("quick_gelu", False) != settings(tower)["quick_gelu"]:
        other = tower.removesuffix("-quickgelu") if tower.endswith("-quickgelu") else f"{tower}-quickgelu"
        raise ConfigError(f"{WHERE}: '{name}' has another activation than {tower}; set extractor.config.tower: {other}")
    for field in ("mean", "std"):
        got, want = getattr(config, field), tuple(known[field])
        if got != want:
            raise ConfigError(f"extractor.config.{field}: got {got}, wanted {want}, on which '{name}' was trained")
    return _on_this_machine(known["hf_hub"].rstrip("/"), name, config.download)


def _on_this_machine(repository: str, name: str, download: bool) -> Path:
    """The weights of a repository on the Hugging Face hub, in the hub's cache: safetensors, or else a pickle."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it tells of every new try
    where = f"{WHERE}: '{name}' of huggingface.co/{repository}"
    for fetch in (False, True) if download else (False,):
        for file in _HUB_FILES:
            try:
                return Path(hf_hub_download(repository, file, local_files_only=not fetch))
            except LocalEntryNotFoundError as error:
                if fetch:
                    raise ConfigError(f"{where}: cannot be reached; check the network, or give a file") from error
            except EntryNotFoundError:
                continue
            except OSError as error:
                raise ConfigError(f"{where}: {shorten(str(error), 200)}; give a file") from error
    reason = f"has none of {', '.join(_HUB_FILES)}" if download else "not on this machine"
    remedy = "give a file" if download else "set extractor.config.download: true, or give a file"
    raise ConfigError(f"{where}: {reason}; {remedy}")
