"""``spandrel``: a network that only its file of weights describes, through the library of that name.

spandrel (MIT) finds out from names and shapes which of its architectures a state dict belongs to. Those under licences
that forbid commercial use are in the package spandrel_extra_arches (the extra ``extra-arches``), used where installed.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from unirestorer.core.errors import ConfigError, ShapeError
from unirestorer.core.vision import prepare_torchvision

from .configs import SpandrelConfig

if TYPE_CHECKING:
    from torch import Tensor

_PERMISSIVE = {
    "Apache-2.0": "ATD CRAFT DAT DCTLSA DITN ESRGAN FBCNN IPT LaMa OmniSR RGT SAFMN SAFMNBCIE SCUNet SPAN SeemoRe "
    "Swin2SR SwinIR",
    "MIT": "DRCT DRUNet DnCNN FDAT FFTformer GRL HAT HVICIDNet KBNet MixDehazeNet MoESR MoSR NAFNet PLKSR RCAN "
    "RealCUGAN RetinexFormer Uformer",
    "BSD-3-Clause": "Compact MMRealSR",
    "CC0-1.0": "SwiftSRGAN",
    "CC-BY-SA-4.0": "AuraSR",
    "Apache-2.0 and others, see spandrel": "GFPGAN RestoreFormer",
}
_RESTRICTED = {
    "Academic Public License: academic and non-commercial use only": "M3SNet MIRNet2 MPRNet Restormer",
    "CC-BY-NC-SA-4.0: non-commercial use only": "AdaCode FeMaSR",
    "CC-BY-NC-4.0: non-commercial use only": "MAT SRFormer",
    "S-Lab License 1.0: non-commercial use only": "CodeFormer",
    "academic and non-commercial use only": "DDColor",
}
LICENCES: Mapping[str, str] = {
    name: licence for licence, names in (_PERMISSIVE | _RESTRICTED).items() for name in names.split()
}
"""Licence of each architecture's code by spandrel's name of it, as the files beside that code say (spandrel 0.4.2)."""
EXTRA = "pip install 'unirestorer[extra-arches]' adds architectures, for academic and non-commercial use only"


class SpandrelNetwork(nn.Module):
    """Images (B, 3, H, W) in [0, 1], any H and W, to restored ones, not clipped.

    ``found`` is spandrel's description. Calling that itself would stop gradients and clip. It takes one image at a
    time, which some architectures need, and so does this.
    """

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.inner: nn.Module = found.model
        self._size, self._call = found.size_requirements, found._call_fn

    def forward(self, images: Tensor) -> Tensor:
        """Pads right and below as the architecture needs, and crops back. Raises ``ShapeError``."""
        output = torch.cat([self._call(self.inner, self._padded(image[None])) for image in images])
        output = output[:, :, : images.shape[2], : images.shape[3]]
        if output.shape != images.shape:
            raise ShapeError(f"spandrel: the network made {tuple(output.shape)} of {tuple(images.shape)}; use another")
        return output

    def _padded(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        right, below = self._size.get_padding(width, height)
        mirrored = min(right, width - 1), min(below, height - 1)
        image = nn.functional.pad(image, (0, mirrored[0], 0, mirrored[1]), "reflect")
        return nn.functional.pad(image, (0, right - mirrored[0], 0, below - mirrored[1]), "replicate")


def revive(config: SpandrelConfig, state: Mapping[str, Tensor]) -> SpandrelNetwork:
    """The network of ``state``, of the architecture that ``config`` names; raises ``ConfigError``."""
    return SpandrelNetwork(_found(state, config.architecture)).eval()


def recognise(state: Mapping[str, Tensor]) -> SpandrelConfig:
    """What ``state`` is. Raises ``ConfigError`` that says why where it does not restore RGB images at their size."""
    found = _found(state)
    name = str(found.architecture.id)
    return SpandrelConfig(
        architecture=name,
        licence=LICENCES.get(name, "see spandrel"),
        parameters=sum(parameter.numel() for parameter in found.model.parameters()),
        tags=tuple(found.tags),
    )


@cache
def _architectures() -> Any:
    """spandrel's architectures and those of its extra package, in a registry of our own: spandrel's stays as it is."""
    prepare_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing compiles functions in a way that torch has deprecated
        registry = import_module("spandrel").MAIN_REGISTRY.copy()
        if find_spec("spandrel_extra_arches"):
            registry.add(*import_module("spandrel_extra_arches").EXTRA_REGISTRY, ignore_duplicates=True)
    return registry


def _found(state: Mapping[str, Tensor], name: str = "") -> Any:
    """spandrel's description of the network, loaded; of the architecture ``name``, or the first that fits."""
    registry, spandrel = _architectures(), import_module("spandrel")
    weights = spandrel.canonicalize_state_dict(dict(state))
    more = "use another file" if find_spec("spandrel_extra_arches") else EXTRA
    if name and name not in registry:
        raise ConfigError(f"spandrel: the architecture '{name}' is not there; {more}")
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = registry[name].architecture.load(weights) if name else registry.load(weights)
    except spandrel.UnsupportedModelError:
        raise ConfigError(f"spandrel: no architecture has these {len(weights)} parameter names; {more}") from None
    except Exception as error:  # noqa: BLE001 - spandrel documents no errors of files that only look like one
        text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ConfigError(f"spandrel: cannot load it{f' as {name}' * bool(name)} ({text}); use another file") from None
    _refuse_other_tasks(found, spandrel.ImageModelDescriptor)
    found.model.eval()
    return found


def _refuse_other_tasks(found: Any, image_model: type[Any]) -> None:
    name, (into, out) = found.architecture.id, (found.input_channels, found.output_channels)
    if not isinstance(found, image_model):
        raise ConfigError(f"spandrel: {name} needs a mask beside the image ({found.purpose}); use another file")
    if found.scale != 1:
        raise ConfigError(f"spandrel: {name} enlarges {found.scale} times, wanted scale 1; use another file")
    if (into, out) != (3, 3):
        raise ConfigError(f"spandrel: {name} maps {into} to {out} channels, wanted 3 to 3; use another file")
