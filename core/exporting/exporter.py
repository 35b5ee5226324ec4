"""A whole model into a folder, or nothing: every file is made, read back and compared before the folder appears."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, MissingExtraError
from ..files import digest
from ..restoring import CENTRE
from ..routing import Routing
from ..runtimes.parity import samples
from .checking import difference, reader
from .manifest import MANIFEST, Part, described, guide
from .networks import OpenRouters, axes_of, batch, exported, with_weights

if TYPE_CHECKING:
    from ..mixture import Expert, Mixture

Said = Callable[[str], None]


def export_onnx(mixture: Mixture, target: Path, *, overwrite: bool = False, said: Said = lambda line: None) -> None:
    """Write experts, extractor and routers of ``mixture`` as ONNX files with a manifest into ``target``, a new folder.

    overwrite: replace the folder of an earlier export. said: gets a line for every file. Raises ``ConfigError`` for a
    network that cannot be exported or whose file gives other numbers, and where ``target`` is in the way;
    ``MissingExtraError`` where a package is missing.
    """
    try:
        import onnx  # noqa: F401 - without it the failure would come late
        import onnxscript  # noqa: F401
    except ImportError:
        raise MissingExtraError("export: needs onnx and onnxscript; pip install 'unirestorer[onnx,openvino]'") from None
    with _folder(target, overwrite) as part:
        writer = _Writer(part, said)
        parts = {"extractor": writer.extractor(mixture), "routers": writer.routers(mixture)}
        experts = [writer.expert(mixture.expert(node)) for node in range(len(mixture.hierarchy))]
        manifest = described(mixture, parts, experts, writer.reader)
        (part / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        (part / "README.md").write_text(guide(manifest), encoding="utf-8")


class _Writer:
    """Writes the files of a model into ``folder`` and compares each with the network it was made of."""

    def __init__(self, folder: Path, said: Said) -> None:
        self._folder, self._said = folder, said
        self.reader, self._open = reader()
        self._written: dict[str, Part | None] = {}  # by the key of an expert
        self._templates: dict[str, tuple[nn.Module, Any]] = {}  # a network and its model, by kind of network

    def extractor(self, mixture: Mixture) -> Part:
        """On the region that restoring looks at: with a free size the exporter does not come to an end."""
        images = torch.rand(3, 1, 3, CENTRE, CENTRE, generator=_generator())
        model = exported(mixture.extractor, {"image": images[0]}, {"image": {}}, ("dr",), "extractor")
        return self._write("extractor.onnx", model, mixture.extractor, [(image,) for image in images])

    def routers(self, mixture: Mixture) -> Part:
        """With a mask over nodes, as an instruction is."""
        dr = mixture.routers.centre + mixture.routers.spread * torch.randn(
            8, mixture.extractor.dim, generator=_generator()
        )
        every = torch.ones(len(mixture.hierarchy), dtype=torch.bool)
        some = torch.rand(len(every), generator=_generator()) < 0.5
        some[-1] = True
        axes: Mapping[str, Mapping[int, Any]] = {"dr": {0: batch()}, "allowed": {}}
        inputs = {"dr": dr, "allowed": every}
        model = exported(OpenRouters(mixture.routers), inputs, axes, ("leaf", "level"), "routers")

        def reference(dr: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
            routing: Routing = mixture.routers(dr, allowed=allowed)
            return routing.leaf, routing.level

        return self._write("routers.onnx", model, reference, [(dr, every), (dr[:1], some)])

    def expert(self, expert: Expert) -> Part | None:
        """The file of ``expert``, ``None`` for the identity; equal experts have one file."""
        if expert.identity:
            return None
        if expert.key not in self._written:
            self._written[expert.key] = self._expert(expert)
        return self._written[expert.key]

    def _expert(self, expert: Expert) -> Part:
        network, images = expert.module, samples(expert.size)
        cases = [(image,) for image in images] + [(torch.cat([images[0], images[0].flip(3)]),)]
        file = f"experts/{self._named(expert.name)}.onnx"
        kind = f"{type(network)} {[(name, value.shape) for name, value in network.state_dict().items()]}"
        if kind in self._templates:
            like, template = self._templates[kind]
            model = with_weights(template, like, network)
            if model is not None:
                try:
                    return self._write(file, model, network, cases)
                except ConfigError:  # alike, but not the same: a setting of its own
                    (self._folder / file).unlink(missing_ok=True)
        pair = torch.cat([images[0], images[0]])
        what = f"expert {expert.name}"
        model = exported(network, {"image": pair}, {"image": axes_of(expert.size)}, ("restored",), what)
        self._templates[kind] = (network, model)
        return self._write(file, model, network, cases)

    def _named(self, name: str) -> str:
        """A file name for a node that no other has."""
        base = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "expert"
        taken = {Path(part.file).stem for part in self._written.values() if part}
        return next(
            stem for number in range(1, 10**6) if (stem := base if number == 1 else f"{base}-{number}") not in taken
        )

    def _write(self, file: str, model: Any, reference: Callable[..., Any], cases: Sequence[Sequence[Tensor]]) -> Part:
        path = self._folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(model.SerializeToString())
        gap = difference(self._open(path), reference, cases, file)
        self._said(f"{file}  {path.stat().st_size / 1e6:.1f} MB  largest difference {gap:.1e}")
        return Part(file, digest(path), gap)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@contextmanager
def _folder(target: Path, overwrite: bool) -> Iterator[Path]:
    """A folder that takes the place of ``target`` when the block ends well, and vanishes when it does not."""
    if target.exists() and not overwrite:
        raise ConfigError(f"{target}: exists already; choose another folder, or add --overwrite")
    if target.exists() and not (target / MANIFEST).is_file():
        raise ConfigError(f"{target}: is not the folder of an export, so it is not replaced; choose another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    part, old = (target.with_name(f".{target.name}.{secrets.token_hex(4)}.{kind}") for kind in ("part", "old"))
    part.mkdir()
    try:
        yield part
        if target.exists():
            target.rename(old)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(old, ignore_errors=True)
