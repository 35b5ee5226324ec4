"""The Python interface: ``load``, ``restore``, ``diagnose`` and ``degrade``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Unpack, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unirestorer.core import images
from unirestorer.core.canvas import Pixels, as_deep_pixels, as_pixels, as_tensor
from unirestorer.core.contracts import Params, Preset
from unirestorer.core.errors import ConfigError, RegistryError, ShapeError, UniRestorerError, UnknownNameError
from unirestorer.core.images import Picture
from unirestorer.core.instruction import Names
from unirestorer.core.mixture import Estimate, Mixture
from unirestorer.core.restoring import Restorer, check_batch
from unirestorer.core.runtimes import runtime_of
from unirestorer.core.treatment import Treatment
from unirestorer.degradations.chain import PAPER_ORDER, Chain, parse_chain
from unirestorer.degradations.sidecar import load_sidecar, pixels_sha256, read_sidecar, save_sidecar
from unirestorer.kinds import FilePath, ImageLike, in_memory, taken
from unirestorer.model import A, Model, Options, Result, Said
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

_EMBEDDED = "model.zarr.zip"


def load(
    model: FilePath | None = None,
    *,
    treatment: Treatment | None = None,
    runtime: str = "auto",
    fallback: bool = True,
) -> Model:
    """The model in the registry ``model`` (a .zip file or a folder; None: the one inside the package).

    ``treatment``: how it restores unless a call says otherwise. ``runtime``: what runs the experts: "auto", or one of
    ``unirestorer runtimes``. ``fallback``: take coarser experts for what is by far unlike anything that the model was
    trained on. Raises ``RegistryError`` when there is no such model or it is damaged, ``UnknownNameError`` or
    ``MissingExtraError`` for a runtime that is not there.
    """
    mixture = Mixture(
        open_registry(_model_path(model)), load_catalogue(), fallback=fallback, runtime=runtime_of(runtime)
    )
    return Model(Restorer(mixture, treatment or Treatment()))


def _model_path(model: FilePath | None) -> Path:
    return embedded_model() if model is None else Path(model)


def embedded_model() -> Path:
    """The registry inside the package; raises ``RegistryError`` where the installation holds none."""
    path = Path(str(files("unirestorer") / _EMBEDDED))
    if not path.exists():
        raise RegistryError(f"{path}: this installation holds no model; name one (--model, or load(path)) or train one")
    return path


@lru_cache(maxsize=2)
def _loaded(path: Path, changed: int) -> Model:
    return load(path)


def _model(model: FilePath | None) -> Model:
    """As ``load``; the model of a file is kept for the next call until the file changes, that of a folder is not."""
    path = _model_path(model).resolve()
    return load(path) if path.is_dir() else _loaded(path, path.stat().st_mtime_ns if path.exists() else 0)


@overload
def restore(
    image: FilePath | Image.Image, task: Names = None, model: FilePath | None = None, **options: Unpack[Options]
) -> Result[Image.Image]: ...
@overload
def restore(
    image: NDArray[A], task: Names = None, model: FilePath | None = None, **options: Unpack[Options]
) -> Result[NDArray[A]]: ...
@overload
def restore(
    image: Tensor, task: Names = None, model: FilePath | None = None, **options: Unpack[Options]
) -> Result[Tensor]: ...
def restore(image: Any, task: Names = None, model: FilePath | None = None, **options: Unpack[Options]) -> Result[Any]:
    """``Model.restore`` of ``load(model)``, which is loaded once; ``options`` as there. Raises what both raise."""
    return _model(model).restore(image, task, **options)


def diagnose(image: ImageLike, task: Names = None, model: FilePath | None = None, **said: Unpack[Said]) -> Estimate:
    """``Model.diagnose`` of ``load(model)``, which is loaded once; ``said`` as there. Raises what both raise."""
    return _model(model).diagnose(image, task, **said)


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
    def pixels(self) -> Pixels:
        """(H, W, 3) RGB, uint16 where the clean image is, else uint8; raises ``ShapeError`` for a batch of several."""
        if len(self.tensor) != 1:
            raise ShapeError(f"a batch of {len(self.tensor)} images has no single pixel array; use .tensor")
        deep = self.like is not None and self.like.pixels.dtype == np.uint16
        return (as_deep_pixels if deep else as_pixels)(self.tensor)

    def save(self, path: FilePath) -> None:
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


def replay(image: ImageLike, recipe: FilePath) -> Degraded:
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
    source = taken(image).source
    if not isinstance(source, Tensor):
        picture = in_memory(source)
        return as_tensor(picture.pixels), picture
    check_batch(source)
    return source.detach().to("cpu", torch.float32), None


def _degraded(clean: Tensor, like: Picture | None, chain: Chain, params: Params, seed: int | None) -> Degraded:
    with torch.no_grad():
        result = chain.apply(clean, params)
    name = like.path.name if like and like.path else "image"
    return Degraded(result, chain, params, tuple(chain.degree(params)), name, seed, like)
