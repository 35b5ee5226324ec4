"""Networks as ONNX files: the same numbers at any size, checked by another reader, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.errors import ConfigError
from unirestorer.core.exporting.checking import difference, reader
from unirestorer.core.exporting.exporter import _folder
from unirestorer.core.exporting.manifest import MANIFEST
from unirestorer.core.exporting.networks import OpenRouters, axes_of, batch, exported, with_weights
from unirestorer.core.routing import RouterOptions, Routers, Temperatures
from unirestorer.plugins.manager import load_catalogue

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("openvino")

SIZE = SizeRequirement(16, 16)


def network(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    spec = load_catalogue().experts[name]
    assert spec.build is not None
    module = spec.build(spec.config(widths=[8, 8], encoder=[1, 1], decoder=[1]) if name == "resunet" else spec.trial)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module.eval()


def model_of(module: nn.Module) -> object:
    image = torch.rand(2, 3, 64, 96)
    return exported(module, {"image": image}, {"image": axes_of(SIZE)}, ("restored",), "it")


def gap(model: object, module: nn.Module, path: Path, *shapes: tuple[int, ...]) -> float:
    path.write_bytes(model.SerializeToString())  # type: ignore[attr-defined]
    cases = [(torch.rand(*shape, generator=torch.Generator().manual_seed(1)),) for shape in shapes]
    return difference(reader()[1](path), module, cases, path.name)


def test_height_width_and_batch_are_free(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    module = network("nafnet")
    model = model_of(module)
    shapes = ((1, 3, 16, 16), (1, 3, 48, 160), (3, 3, 32, 64), (2, 3, 64, 96))
    assert gap(model, module, tmp_path / "it.onnx", *shapes) < 1e-4
    assert capfd.readouterr() == ("", ""), "the exporter is quiet"
    content = (tmp_path / "it.onnx").read_bytes()
    assert str(Path.cwd()).encode() not in content
    assert b".py" not in content, "no names of source files"


def test_equal_networks_share_an_export_but_not_their_weights(tmp_path: Path) -> None:
    one, other = network("resunet", 1), network("resunet", 2)
    model = model_of(one)
    swapped = with_weights(model, one, other)
    assert swapped is not None
    assert gap(swapped, other, tmp_path / "other.onnx", (1, 3, 48, 32)) < 1e-4
    assert gap(model, one, tmp_path / "one.onnx", (1, 3, 48, 32)) < 1e-4, "that of the first stays as it was"
    with pytest.raises(ConfigError, match=r"one\.onnx: the ONNX file, at \(1, 3, 48, 32\), differs from PyTorch by"):
        gap(model, other, tmp_path / "one.onnx", (1, 3, 48, 32))
    assert with_weights(model, other, one) is None, "not what it was made of"


def test_routers_take_an_instruction(tmp_path: Path) -> None:
    ancestors = torch.tensor([[0, 1, 3], [0, 1, 4], [0, 2, 5]])
    torch.manual_seed(0)
    routers = Routers(8, ancestors, RouterOptions("batch", 1, Temperatures(0.5, 2.0))).eval()
    with torch.no_grad():
        for parameter in routers.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    dr, every = torch.randn(4, 8), torch.ones(6, dtype=torch.bool)
    axes: dict[str, dict[int, object]] = {"dr": {0: batch()}, "allowed": {}}
    model = exported(OpenRouters(routers), {"dr": dr, "allowed": every}, axes, ("leaf", "level"), "routers")
    (tmp_path / "routers.onnx").write_bytes(model.SerializeToString())
    session = reader()[1](tmp_path / "routers.onnx")
    for mask in ([1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1]):
        for batch_size in (1, 4):
            allowed = torch.tensor(mask, dtype=torch.bool)
            wanted = routers(dr[:batch_size], allowed=allowed)
            leaf, level = session((dr[:batch_size], allowed))
            assert np.abs(leaf - wanted.leaf.detach().numpy()).max() < 1e-5
            assert np.abs(level - wanted.level.detach().numpy()).max() < 1e-5


class Branching(nn.Module):
    """No exporter takes this."""

    def forward(self, image: Tensor) -> Tensor:
        return image if float(image.sum()) > 0 else image + image.numpy().tolist()


def test_what_cannot_be_exported_is_said_in_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        model_of(Branching())
    assert str(caught.value).startswith("it: cannot be exported to ONNX: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "onnx"
    with pytest.raises(KeyboardInterrupt), _folder(target, overwrite=False):
        raise KeyboardInterrupt
    assert list((tmp_path / "deep").iterdir()) == []
    for text in ("2", "3"):
        with _folder(target, overwrite=text == "3") as part:
            (part / MANIFEST).write_text(text)
    assert (target / MANIFEST).read_text() == "3"
    with pytest.raises(ValueError, match="broken"), _folder(target, overwrite=True):
        raise ValueError("broken")
    assert (target / MANIFEST).read_text() == "3"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["onnx"]
    with pytest.raises(ConfigError, match="exists already; choose another folder, or add --overwrite"):
        _folder(target, overwrite=False).__enter__()
    (target / MANIFEST).unlink()
    with pytest.raises(ConfigError, match="is not the folder of an export"):
        _folder(target, overwrite=True).__enter__()
