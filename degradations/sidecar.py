"""The side file of a degraded image: everything needed to make it again, bit for bit, as JSON.

Fields: ``format``; ``versions`` of the libraries; ``source`` file name; ``seed`` the parameters were drawn with;
``chain`` (names and configs in order) and ``gate`` probabilities; ``params`` (dtype, shape, flat values; a float's
shortest decimal form restores it exactly); ``degree`` names; ``output_sha256`` of the pixels, see ``pixels_sha256``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError, model_validator
from torch import Tensor

from unirestorer.core.catalogue import validation_lines
from unirestorer.core.contracts import Config, Params
from unirestorer.core.errors import ConfigError
from unirestorer.core.files import atomic

from .chain import Chain, Link, Specs, build_link

FORMAT: Literal["unirestorer-degradation/1"] = "unirestorer-degradation/1"
LONGEST_LINE = 400
_DTYPES = {"bool": torch.bool, "int64": torch.int64, "float32": torch.float32, "float64": torch.float64}


class Array(Config):
    """A parameter tensor: ``values`` in row-major order."""

    dtype: Literal["bool", "int64", "float32", "float64"]
    shape: tuple[int, ...]
    values: tuple[bool | int | float, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Array:
        if any(length < 0 for length in self.shape) or math.prod(self.shape) != len(self.values):
            raise ValueError(f"shape {list(self.shape)} does not fit {len(self.values)} values")
        kinds = {"bool": (bool,), "int64": (int,)}.get(self.dtype, (int, float))
        if any(
            isinstance(value, bool) != (self.dtype == "bool") or not isinstance(value, kinds) for value in self.values
        ):
            raise ValueError(f"values are not all {self.dtype}")
        if self.dtype == "int64" and any(not -(2**63) <= value < 2**63 for value in self.values):
            raise ValueError("values do not fit int64")
        return self


class Step(Config):
    """One link: the degradation's name and its config."""

    name: str
    config: dict[str, Any]


class Sidecar(Config):
    """The whole file; the fields are explained in the module's text."""

    format: Literal["unirestorer-degradation/1"]
    versions: dict[str, str]
    source: str
    seed: int | None
    chain: tuple[Step, ...]
    gate: tuple[float, ...]
    params: dict[str, Array]
    degree: tuple[str, ...]
    output_sha256: str


def pixels_sha256(images: Tensor) -> str:
    """Hex SHA-256 of images (n, 3, H, W): their float32 values, little-endian, row-major."""
    values = images.detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4")
    return hashlib.sha256(values.tobytes()).hexdigest()


def save_sidecar(path: Path, chain: Chain, params: Params, output: Tensor, *, source: str, seed: int | None) -> None:
    """Write the side file of ``output = chain.apply(clean, params)``, through a temporary file in the same folder.

    Raises ``ConfigError`` when a link has no config to write down, ``ImageError`` when the file cannot be written.
    """
    sidecar = Sidecar(
        format=FORMAT,
        versions={name: _version(name) for name in ("unirestorer", "torch", "pillow")},
        source=source,
        seed=seed,
        chain=tuple(_step(link) for link in chain.links),
        gate=chain.gate,
        params={name: _array(value) for name, value in params.items()},
        degree=tuple(chain.degree(params)),
        output_sha256=pixels_sha256(output),
    )
    with atomic(Path(path)) as file:
        file.write((json.dumps(sidecar.model_dump(mode="json"), indent=1) + "\n").encode())


def read_sidecar(path: Path) -> Sidecar:
    """The file's content, checked in form only. Raises ``ConfigError``, one line per problem."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not a JSON file ({error})") from None
    try:
        return Sidecar.model_validate(content)
    except ValidationError as error:
        raise ConfigError([f"{path}: {line[:LONGEST_LINE]}" for line in validation_lines(error, "")]) from None


def load_sidecar(path: Path, specs: Specs) -> tuple[Chain, Params]:
    """The chain and the parameters of a side file: ``chain.apply(clean, params)`` makes the image again.

    Raises ``ConfigError`` with one line per problem: unknown degradations, wrong configs, parameters that are missing,
    unexpected, or of the wrong type or number.
    """
    sidecar = read_sidecar(path)
    problems: list[str] = []
    links = []
    for number, step in enumerate(sidecar.chain, start=1):
        where = f"{path}: chain item {number} '{step.name}'"
        try:
            if step.name not in specs:
                raise ConfigError(f"{where}: unknown degradation; known: {', '.join(sorted(specs))}")
            links.append(build_link(specs[step.name], step.config, where))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    try:
        chain = Chain(links, sidecar.gate)
    except ConfigError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from None
    return chain, _params(sidecar, chain, path)


def _params(sidecar: Sidecar, chain: Chain, path: Path) -> Params:
    expected = chain.sample(1, torch.Generator().manual_seed(0))
    counts = {array.shape[:1] for array in sidecar.params.values()}
    problems = [f"{path}: parameter '{name}' is missing" for name in sorted(expected.keys() - sidecar.params.keys())]
    problems += [f"{path}: parameter '{name}' is unknown" for name in sorted(sidecar.params.keys() - expected.keys())]
    if len(counts) > 1:
        problems.append(f"{path}: parameters differ in their number of items: {sorted(counts)}")
    for name in sorted(expected.keys() & sidecar.params.keys()):
        got, want = sidecar.params[name], expected[name]
        if _DTYPES[got.dtype] != want.dtype or got.shape[1:] != tuple(want.shape[1:]):
            wanted = f"{_name(want.dtype)} {['n', *want.shape[1:]]}"
            problems.append(f"{path}: parameter '{name}' is {got.dtype} {list(got.shape)}, want {wanted}")
    if problems:
        raise ConfigError(problems)
    return {
        name: torch.tensor(array.values, dtype=_DTYPES[array.dtype]).reshape(array.shape)
        for name, array in sidecar.params.items()
    }


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _array(value: Tensor) -> Array:
    flat: Sequence[Any] = value.detach().cpu().reshape(-1).tolist()
    return Array.model_validate({"dtype": _name(value.dtype), "shape": tuple(value.shape), "values": tuple(flat)})


def _step(link: Link) -> Step:
    if link.config is None:
        raise ConfigError(f"the link '{link.name}' has no config, so its chain cannot be written down")
    return Step(name=link.name, config=link.config.model_dump(mode="json"))


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
