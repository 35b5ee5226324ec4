"""The Python interface: ``load``, ``restore``, ``diagnose`` and ``degrade``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unirestorer.core import images
from unirestorer.core.canvas import as_pixels, as_tensor
from unirestorer.core.contracts import Params, Preset
from unirestorer.core.errors import ConfigError, RegistryError, ShapeError, UniRestorerError, UnknownNameError
from unirestorer.core.images import Picture
from unirestorer.core.instruction import Instruction, Names
from unirestorer.core.mixture import Estimate, Mixture
from unirestorer.core.restoring import Restoration, Restorer, check_batch
from unirestorer.core.treatment import Treatment
from unirestorer.degradations.chain import PAPER_ORDER, Chain, parse_chain
from unirestorer.degradations.sidecar import load_sidecar, pixels_sha256, read_sidecar, save_sidecar
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

ImageLike = str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor
"""A path, Pillow image, numpy array (H, W, 3) uint8 or float in [0, 1], float tensor (3, H, W) or (B, 3, H, W)."""

_EMBEDDED = "model.zarr.zip"


def load(
    model: str | os.PathLike[str] | None = None, *, treatment: Treatment | None = None, fallback: bool = True
) -> Restorer:
    """A restorer for the model in the registry ``model`` (a .zip file or a folder; None: the one inside the package).

    ``treatment``: how it restores unless a call says otherwise.
    ``fallback``: take coarser experts for what is by far unlike anything that the model was trained on.
    Raises ``RegistryError`` when there is no such model or it is damaged.
    """
    mixture = Mixture(open_registry(_model_path(model)), load_catalogue(), fallback=fallback)
    return Restorer(mixture, treatment or Treatment())


def _model_path(model: str | os.PathLike[str] | None) -> Path:
    return embedded_model() if model is None else Path(model)


def embedded_model() -> Path:
    """The registry inside the package; raises ``RegistryError`` where the installation holds none."""
    path = Path(str(files("unirestorer") / _EMBEDDED))
    if not path.exists():
        raise RegistryError(f"{path}: this installation holds no model; name one (--model, or load(path)) or train one")
    return path


@lru_cache(maxsize=2)
def _loaded(path: Path, changed: int) -> Restorer:
    return load(path)


def _restorer(model: str | os.PathLike[str] | None) -> Restorer:
    """As ``load``; the model of a file is kept for the next call until the file changes, that of a folder is not."""
    path = _model_path(model).resolve()
    return load(path) if path.is_dir() else _loaded(path, path.stat().st_mtime_ns if path.exists() else 0)


def restore(
    image: ImageLike,
    task: Names = None,
    model: str | os.PathLike[str] | None = None,
    *,
    degree: Names = None,
    level: Names = None,
    expert: Names = None,
    exclude: Names = None,
) -> Restoration:
    """Restore ``image``: find out what is wrong, within what is said of it, and run the expert for that.

    ``task``, ``degree``, ``level``, ``expert``, ``exclude``: one name or several, as the options of the command line;
    together they must leave at least one expert. 8-bit input gives ``.pixels`` (H, W, 3) uint8, float input ``.tensor``
    (B, 3, H, W) float32; ``.save(path)`` writes it. The model is loaded once. Raises ``ImageError``, ``ShapeError``,
    ``UnknownNameError``, ``ConfigError`` for what cannot be had together, or ``RegistryError``.
    """
    source, restorer = as_input(image), _restorer(model)
    instruction = Instruction.of(task, degree, level, expert, exclude)
    return (
        restorer.restore(source, instruction)
        if isinstance(source, Picture)
        else restorer.restore_tensor(source, instruction)
    )


def diagnose(
    image: ImageLike,
    task: Names = None,
    model: str | os.PathLike[str] | None = None,
    *,
    degree: Names = None,
    level: Names = None,
    expert: Names = None,
    exclude: Names = None,
) -> Estimate:
    """What is wrong with ``image`` (of a batch, with the first one), and which expert would restore it; as ``restore``.

    Raises what ``restore`` raises.
    """
    source, restorer = as_input(image), _restorer(model)
    instruction = Instruction.of(task, degree, level, expert, exclude)
    if isinstance(source, Picture):
        return restorer.diagnose(source, instruction)
    return restorer.diagnose_tensor(source, instruction)


def as_input(image: ImageLike) -> Picture | Tensor:
    """A ``Picture`` for 8-bit input, a tensor (B, 3, H, W) for float input.

    Raises ``ImageError`` for a bad file or Pillow image, ``ShapeError`` for anything else that is no image.
    """
    if isinstance(image, str | os.PathLike):
        return images.load(Path(image))
    if isinstance(image, Image.Image):
        return images.from_pil(image)
    if isinstance(image, Tensor):
        return image[None] if image.ndim == 3 else image
    if isinstance(image, np.ndarray):
        return _from_array(image)
    raise ShapeError(f"image is a {type(image).__name__}, wanted a path, Pillow image, numpy array or torch tensor")


def _from_array(array: NDArray[Any]) -> Picture | Tensor:
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise ShapeError(f"image array is {array.shape}, wanted (height, width, 3) RGB")
    if array.dtype == np.uint8:
        return Picture(np.ascontiguousarray(array))
    if np.issubdtype(array.dtype, np.floating):
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).permute(2, 0, 1)[None]
    raise ShapeError(f"image array is {array.dtype}, wanted uint8, or floating point in [0, 1]")


@dataclass(frozen=True, eq=False)
class Degraded:
    """A damaged image or batch, and all that is needed to make it again from the clean one.

    tensor: (B, 3, H, W) float32 in [0, 1]. degree: names of what was applied, one per image. source: name of the clean
    file. seed: what the parameters were drawn with, None for a replay. like: metadata of the clean file.
    """

    tensor: Tensor
    chain: Chain
    params: Params
    degree: tuple[str, ...]
    source: str
    seed: int | None
    like: Picture | None

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; raises ``ShapeError`` for a batch of several images."""
        if len(self.tensor) != 1:
            raise ShapeError(f"a batch of {len(self.tensor)} images has no single pixel array; use .tensor")
        return as_pixels(self.tensor)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the image to ``path`` and its recipe to ``path`` + ".json", both or neither; raises ``ImageError``."""
        target, pixels = Path(path), self.pixels
        side = side_file(target)
        old = side.read_bytes() if side.is_file() else None
        save_sidecar(side, self.chain, self.params, self.tensor, source=self.source, seed=self.seed)
        try:
            images.save(target, pixels, self.like or Picture(pixels))
        except UniRestorerError:
            side.unlink() if old is None else side.write_bytes(old)
            raise


def side_file(path: Path) -> Path:
    """Where the recipe of the degraded image ``path`` is written."""
    return path.with_name(path.name + ".json")


def degrade(image: ImageLike, chain: str | None = None, seed: int = 0, preset: str = "in") -> Degraded:
    """Damage ``image`` with ``chain``, for example ``"lowlight,noise:sigma=25"``; equal seeds give equal bits.

    Without a chain: the paper's seven in its order, each with probability 0.5. ``preset`` "in" or "out" chooses the
    ranges (inside or outside the training distribution) of whatever the chain does not say. Raises ``ConfigError`` for
    a malformed chain or seed, ``UnknownNameError`` for another preset, and as ``restore`` does for a bad image.
    """
    if preset not in ("in", "out"):
        raise UnknownNameError("preset", preset, ("in", "out"))
    if not 0 <= seed < 2**63:
        raise ConfigError(f"seed is {seed}, wanted 0 <= seed < 2^63")
    specs = load_catalogue().synthesizers
    text, gate = (",".join(PAPER_ORDER), 0.5) if chain is None else (chain, 1.0)
    links = parse_chain(text, specs, cast(Preset, preset), gate)
    clean, like = _clean(image)
    params = links.sample(len(clean), torch.Generator().manual_seed(seed))
    return _degraded(clean, like, links, params, seed)


def replay(image: ImageLike, recipe: str | os.PathLike[str]) -> Degraded:
    """Repeat what the side file ``recipe`` of a degraded image says; the result is equal bit for bit, and checked.

    Raises ``ConfigError`` for a malformed recipe, or when the result is not the recorded one: another clean image.
    """
    links, params = load_sidecar(Path(recipe), load_catalogue().synthesizers)
    recorded = read_sidecar(Path(recipe))
    clean, like = _clean(image)
    result = _degraded(clean, like, links, params, None)
    if pixels_sha256(result.tensor) != recorded.output_sha256:
        made = ", ".join(f"{name} {version}" for name, version in recorded.versions.items())
        raise ConfigError(
            f"{recipe}: the result is not the recorded one, which was made of '{recorded.source}' by {made}; "
            "give the same clean image"
        )
    return result


def _clean(image: ImageLike) -> tuple[Tensor, Picture | None]:
    source = as_input(image)
    if isinstance(source, Picture):
        return as_tensor(source.pixels), source
    check_batch(source)
    return source.detach().to("cpu", torch.float32), None


def _degraded(clean: Tensor, like: Picture | None, chain: Chain, params: Params, seed: int | None) -> Degraded:
    with torch.no_grad():
        result = chain.apply(clean, params)
    name = like.path.name if like and like.path else "image"
    return Degraded(result, chain, params, tuple(chain.degree(params)), name, seed, like)
