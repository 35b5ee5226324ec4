"""Learned metrics: LPIPS from a file of weights, and those of pyiqa where the user installed it.

Nothing is downloaded here. pyiqa, which is not for commercial use, fetches the weights of its metrics itself.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoints import read_state
from ..errors import MissingExtraError, PluginError, ShapeError, UnknownNameError, WeightsError
from ..vision import prepare_torchvision

_BACKBONES = {"alex": ("AlexNet", 31), "vgg": ("VGG-16", 16), "squeeze": ("SqueezeNet 1.1", 17)}
"""Name in torchmetrics -> what it is, and the smallest side in pixels that passes through."""

_FILES = "alexnet-owt-7be5be79.pth, vgg16-397923af.pth or squeezenet1_1-b8a52dc0.pth"
_SLICE = re.compile(r"slice\d+\.|slices\.\d+\.")
_FEATURES = "features."
_LICENCE = "its licences (PolyForm Noncommercial 1.0.0, NTU S-Lab) forbid commercial use"


class Lpips:
    """LPIPS (Zhang et al., CVPR 2018), version 0.1, lower is better: torchmetrics' network and linear heads over the
    backbone in a file: torchvision's AlexNet, VGG-16 or SqueezeNet 1.1, trained on ImageNet.
    """

    name = "lpips"
    lower_better = True
    needs_truth = True

    def __init__(self, path: Path) -> None:
        """``path``: what ``read_state`` reads. Raises ``WeightsError`` where it is no backbone of LPIPS."""
        state = read_state(path)
        features = {name.removeprefix(_FEATURES): value for name, value in state.items() if name.startswith(_FEATURES)}
        for kind in _BACKBONES:
            network = _skeleton(kind)
            wanted = {_SLICE.sub("", name): tuple(value.shape) for name, value in network.net.state_dict().items()}
            if wanted == {name: tuple(value.shape) for name, value in features.items()}:
                break
        else:
            raise WeightsError(f"{path}: got weights that LPIPS has no heads for, wanted torchvision's {_FILES}")
        self.backbone, self._least = _BACKBONES[kind]
        self._file = path
        self._network = _filled(network, kind, features)

    @torch.inference_mode()
    def __call__(self, image: Tensor, truth: Tensor | None) -> float:
        """Distance of two images (1, 3, H, W) in [0, 1]; raises ``ShapeError`` where they are too small."""
        if truth is None or min(image.shape[-2:]) < self._least:
            alone = " and no truth" if truth is None else ""
            raise ShapeError(
                f"LPIPS: got {image.shape[-2]} x {image.shape[-1]} pixels{alone}, wanted a pair of at least "
                f"{self._least} x {self._least} for {self.backbone}; leave out --lpips or the image"
            )
        return float(self._network(image, truth, normalize=True))

    def facts(self) -> dict[str, Any]:
        """Backbone, and hash of its file; of torchvision's files the name holds the first 8 digits."""
        with self._file.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"backbone": self.backbone, "sha256": digest, "torchmetrics": metadata.version("torchmetrics")}


class Iqa:
    """The metric ``name`` of pyiqa, on the CPU, by its own defaults."""

    def __init__(self, name: str) -> None:
        """Raises ``MissingExtraError`` without pyiqa, ``UnknownNameError``, and ``PluginError`` where pyiqa fails."""
        if importlib.util.find_spec("pyiqa") is None:
            raise MissingExtraError(f"'{name}' needs pyiqa, which is not installed; pip install pyiqa; {_LICENCE}")
        prepare_torchvision()
        try:
            import pyiqa

            known = list(pyiqa.list_models())
            if name in known:
                self._metric: Any = pyiqa.create_metric(name, device=torch.device("cpu"))
        except Exception as error:  # a third party's code, which also downloads
            raise _failed(name, "cannot be made; it fetches its weights when it is first used", error) from error
        if name not in known:
            raise UnknownNameError("metric of pyiqa", name, known)
        self.name, self._version = name, str(pyiqa.__version__)
        self.lower_better = bool(self._metric.lower_better)
        self.needs_truth = self._metric.metric_mode == "FR"

    @torch.no_grad()
    def __call__(self, image: Tensor, truth: Tensor | None) -> float:
        """The score of ``image`` (1, 3, H, W) in [0, 1], against ``truth`` where the metric compares.

        Raises ``PluginError`` where pyiqa fails, as on a metric of folders such as FID.
        """
        try:
            return float(self._metric(image, truth) if self.needs_truth else self._metric(image))
        except Exception as error:  # a third party's code
            size = f"{image.shape[-2]} x {image.shape[-1]}"
            raise _failed(self.name, f"fails on {size} pixels; leave it out", error) from error

    def facts(self) -> dict[str, Any]:
        """Version of pyiqa."""
        return {"pyiqa": self._version}


def _skeleton(kind: str) -> Any:
    """LPIPS's network without values, so that nothing is drawn and no memory taken."""
    prepare_torchvision()
    from torchmetrics.functional.image import lpips

    with torch.device("meta"):
        return lpips._LPIPS(pretrained=False, net=kind, pnet_rand=True)  # type: ignore[arg-type]


def _filled(network: Any, kind: str, features: Mapping[str, Tensor]) -> nn.Module:
    """``network`` with the backbone's ``features``, and the linear heads that torchmetrics ships."""
    from torchmetrics.functional.image import lpips

    backbone = {f"net.{name}": features[_SLICE.sub("", name)] for name in network.net.state_dict()}
    heads = read_state(Path(lpips.__file__).parent / "lpips_models" / f"{kind}.pth")
    twins = {name.replace("lin", "lins.", 1): value for name, value in heads.items()}  # the network lists them twice
    network.load_state_dict(backbone | heads | twins, assign=True)
    filled: nn.Module = network.eval().requires_grad_(False)
    return filled


def _failed(name: str, what: str, error: Exception) -> PluginError:
    return PluginError(f"pyiqa's '{name}' {what}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
