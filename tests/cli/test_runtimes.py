"""``unirestorer runtimes`` and ``unirestorer export``, as a user runs them, on a micro model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unirestorer.core.images import Picture, load
from unirestorer.core.instruction import Instruction
from unirestorer.core.mixture import Mixture
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.restoring import Restorer, centre
from unirestorer.core.runtimes import RUNTIMES, choosing, runtime_of
from unirestorer.core.runtimes.openvino import OpenVino
from unirestorer.core.tiles import run_tiled
from unirestorer.core.treatment import Treatment
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import open_registry

from ..core.tiny_world import make_run
from .conftest import Run


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runtimes")
    run_pipeline(make_run(folder, "model"))
    return folder / "model"


def test_runtimes_are_listed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("runtimes")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == list(RUNTIMES)
    assert [line.split()[0] for line in done.out.splitlines() if line.endswith("chosen")] == [runtime_of().name]
    monkeypatch.setattr(choosing, "_openvino", lambda: "")
    assert "pip install 'unirestorer[openvino]'" in run("runtimes", "--runtime", "openvino").out
    assert run("runtimes", "--runtime", "onnx").errors[0].startswith("error: unknown runtime 'onnx'")


def test_runtimes_are_compared(run: Run, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    names = ("eager", "openvino", "openvino-bf16")
    options = [option for name in names for option in ("--runtime", name)]
    done = run("runtimes", "--check", "--model", world, *options)
    rows = {line.split()[0]: line.split() for line in done.out.splitlines()[1:]}
    assert (done.code, tuple(rows)) == (0, names)
    assert rows["eager"][3] == "0.00000"
    assert float(rows["openvino"][3]) < 0.1
    assert rows["openvino"][6] == "equal"
    monkeypatch.setattr(OpenVino, "prepare", lambda self, module, key, size: lambda image: 0.9 * module(image))
    wrong = run("runtimes", "--check", "--model", world, "--runtime", "openvino")
    assert wrong.code == 2
    assert wrong.errors[0].startswith("error: runtime openvino: differs from PyTorch by ")


def test_an_expert_that_a_runtime_cannot_run_is_run_by_pytorch(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    from unirestorer.core.runtimes import openvino

    def refuse(*arguments: object) -> None:
        raise RuntimeError("first line\nNo conversion rule for aten::strange")

    store = open_registry(world)
    fast = Mixture(store, load_catalogue(), runtime=runtime_of("openvino"))
    node = next(node for node in range(len(fast.hierarchy)) if not fast.expert(node).identity)
    assert isinstance(fast.expert(node).run, openvino.Compiled)
    assert fast.expert(node).note == ""
    monkeypatch.setattr(openvino, "translated", refuse)
    monkeypatch.setattr(openvino, "_FORMAT", "not yet kept")
    mixture = Mixture(store, load_catalogue(), runtime=runtime_of("openvino"))
    slow, name = mixture.expert(node), fast.node_names[node]
    said = f"expert {name} is run by PyTorch, because openvino cannot: No conversion rule for aten::strange"
    assert slow.note == said
    image = torch.rand(1, 3, 48, 64)
    assert (slow.network(image) - fast.expert(node).network(image)).abs().max() < 1e-4
    done = Restorer(mixture, Treatment(guards=False)).restore_tensor(image, Instruction.of(expert=name))
    assert said in done.notes


def pictures(path: Path) -> Iterator[Picture]:
    """Noise of several strengths around several greys, one after the other written to ``path``."""
    rng = np.random.default_rng(0)
    for level in (40, 90, 160, 220):
        for spread in (2, 15, 35):
            Image.fromarray(rng.integers(level - spread, level + spread, (540, 600, 3), dtype=np.uint8)).save(path)
            yield load(path)


def node_of(mixture: Mixture, picture: Picture) -> int:
    return mixture.estimate(centre(picture)).node


def test_a_model_is_exported_and_runs_as_its_readme_says(
    run: Run, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("onnx", "onnxscript", "openvino"):
        pytest.importorskip(package)
    out = tmp_path / "onnx"
    done = run("export", world, "--onnx", out)
    assert (done.code, done.err) == (0, "")
    manifest = json.loads((out / "manifest.json").read_text())
    parts = [manifest["extractor"], manifest["routers"], *manifest["experts"]]
    files = {part["file"]: part for part in parts if part["file"]}
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.onnx")} == set(files)
    for name, part in files.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == part["sha256"]
        assert part["difference"] < 1e-3
    assert run("export", world, "--onnx", out).errors[0].endswith("choose another folder, or add --overwrite")

    mixture = Mixture(open_registry(world), load_catalogue())
    assert [expert["name"] for expert in manifest["experts"]] == list(mixture.node_names)
    assert [expert["file"] is None for expert in manifest["experts"]] == [
        mixture.expert(node).identity for node in range(len(mixture.hierarchy))
    ]
    picture = next(
        picture for picture in pictures(out / "photo.jpg") if not mixture.expert(node_of(mixture, picture)).identity
    )
    guide = (out / "README.md").read_text()
    restore, session = (block.split("```")[0] for block in guide.split("```python\n")[1:])
    before, _, after = restore.partition("\ndef load(file):")
    after = after.partition("\n\n\n")[2]
    monkeypatch.chdir(out)
    names: dict[str, object] = {}
    exec(before.replace("import onnxruntime as ort", "#") + "\n" + session + "\n\n" + after, names)
    node = node_of(mixture, picture)
    assert names["expert"]["node"] == node  # type: ignore[index]
    made = np.asarray(Image.open("restored.png"), np.float32)
    expert = mixture.expert(node)
    wanted = run_tiled(picture.canvas.read(slice(0, 540), slice(0, 600)), expert.module, expert.size, None)
    assert np.abs(made - 255 * wanted[0].permute(1, 2, 0).numpy()).max() < 8, "padding is not quite the same"
