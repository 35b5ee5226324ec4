"""``unirestorer extend expert NODE --weights FILE`` and ``--arch lora`` as a user runs them, at micro scale."""

from __future__ import annotations

import importlib
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save_file
from torch import Tensor

from unirestorer.core.contracts import ExpertSpec
from unirestorer.core.licences import Licence
from unirestorer.core.mixture import Mixture
from unirestorer.core.pipeline import run_pipeline
from unirestorer.core.training.loop import seeded
from unirestorer.core.vision import prepare_torchvision
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import export_zip, open_registry

from .commands import run
from .core.tiny_world import make_run

SMALL = ("--samples", "64", "--steps", "4")
NAFNET = {"width": 4, "enc_blk_nums": [1, 1], "middle_blk_num": 1, "dec_blk_nums": [1, 1]}
Captured = pytest.CaptureFixture[str]


class Trap:
    """Runs code when a pickle of it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    run_pipeline(make_run(folder, "trained"))
    return folder


@pytest.fixture
def own(world: Path, tmp_path: Path) -> Path:
    """A registry of one's own."""
    shutil.copytree(world / "trained", tmp_path / "own")
    return tmp_path / "own"


def extend(own: Path, world: Path, *options: str | Path, node: str = "1") -> int:
    return run("extend", "expert", node, "--registry", own, "--data", world / "photos", *SMALL, *options)


def theirs(module: str, name: str, **options: object) -> dict[str, Tensor]:
    """The state dict of a network of spandrel's own class."""
    prepare_torchvision()
    make = getattr(importlib.import_module(f"spandrel.architectures.{module}"), name)
    return dict(seeded(lambda: make(**options), 0).state_dict())


def ours(name: str, **config: object) -> dict[str, Tensor]:
    spec: ExpertSpec[Any] = load_catalogue().expert(name)
    assert spec.build is not None
    build = spec.build
    return dict(seeded(lambda: build(spec.config.model_validate(config)), 1).state_dict())


def files_in(registry: Path) -> list[Path]:
    """All but the locks."""
    return sorted(path for path in registry.rglob("*") if path.is_file() and path.suffix != ".lock")


def errors_of(capsys: Captured) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]


def test_a_public_file_becomes_the_expert_of_a_node(own: Path, world: Path, tmp_path: Path, capsys: Captured) -> None:
    state = theirs("NAFNet", "NAFNet", **NAFNET)
    torch.save({"params": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "net.pth")
    before = files_in(own)
    about = "net.pth: nafnet: width 4, enc_blk_nums 1 1, middle_blk_num 1, dec_blk_nums 1 1, "
    assert extend(own, world, "--weights", tmp_path / "net.pth", "--dry-run") == 0
    out = capsys.readouterr().out
    assert about in out
    assert "parameters, licence MIT" in out
    assert "unseen samples" in out
    assert "kept" in out
    assert "nothing was changed" in out
    assert "train " not in out
    assert files_in(own) == before
    assert extend(own, world, "--weights", tmp_path / "net.pth", "--license", "my/own") == 2
    assert "wanted an SPDX expression" in errors_of(capsys)[0]
    assert extend(own, world, "--weights", tmp_path / "net.pth", "--force", "--license", "CC-BY-4.0") == 0
    assert about in capsys.readouterr().out
    record = open_registry(own).read("experts", "micro/1.2")
    assert record.attributes["licence"] == "CC-BY-4.0"
    assert Mixture(open_registry(own), load_catalogue()).licences[1] == Licence("MIT", "CC-BY-4.0")
    assert (record.attributes["arch"], record.attributes["config"]) == ("nafnet", NAFNET)
    assert record.attributes["metrics"] == {"file": "net.pth"}
    kept = load(record.arrays["weights"].tobytes())
    assert all(torch.equal(kept[name], tensor) for name, tensor in state.items())
    assert run("registry", "verify", own) == 0
    zipped = tmp_path / "model.zip"
    assert run("registry", "export", own, zipped, "--half") == 0
    assert run("restore", world / "photos" / "photo0.png", "-o", tmp_path / "out.png", "--model", zipped) == 0


def test_the_nodes_own_architecture_needs_no_name(own: Path, world: Path, tmp_path: Path, capsys: Captured) -> None:
    node = next(n for n in range(1, 8) if open_registry(own).attributes("experts", f"micro/{n}")["arch"] == "resunet")
    config = open_registry(own).attributes("experts", f"micro/{node}")["config"]
    save_file(ours("resunet", **config), tmp_path / "same.safetensors")
    assert extend(own, world, "--weights", tmp_path / "same.safetensors", "--force", node=str(node)) == 0
    assert "same.safetensors: resunet: widths 8 8" in capsys.readouterr().out
    record = open_registry(own).read("experts", f"micro/{node}.2")
    assert "licence" not in record.attributes
    assert record.arrays["weights"].tobytes() == (tmp_path / "same.safetensors").read_bytes()
    save_file(ours("resunet", widths=(4,), encoder=(1,), decoder=()), tmp_path / "other.safetensors")
    assert extend(own, world, "--weights", tmp_path / "other.safetensors", "--force", node=str(node)) == 0
    assert open_registry(own).attributes("experts", f"micro/{node}.3")["config"]["widths"] == [4]
    capsys.readouterr()


def test_what_only_spandrel_knows_is_an_expert_too(own: Path, world: Path, tmp_path: Path, capsys: Captured) -> None:
    state = theirs("Compact.__arch.SRVGG", "SRVGGNetCompact", num_feat=8, num_conv=2, upscale=1)
    save_file(state, tmp_path / "compact.safetensors")
    assert extend(own, world, "--weights", tmp_path / "compact.safetensors", "--force") == 0
    about = "compact.safetensors: spandrel: architecture Compact, tags 8nf 2nc, 1,635 parameters, licence BSD-3-Clause"
    assert about in capsys.readouterr().out
    export_zip(open_registry(own), tmp_path / "model.zip", model="default", half=True)
    photo, out = world / "photos" / "photo0.png", tmp_path / "out.png"
    assert run("restore", photo, "-o", out, "--model", tmp_path / "model.zip") == 0
    assert extend(own, world, "--arch", "spandrel") == 2
    assert "spandrel: is made of a file of weights and not trained" in errors_of(capsys)[0]
    root = ("--weights", tmp_path / "compact.safetensors", "--force")
    assert extend(own, world, *root, node="all") == 0
    assert extend(own, world, "--arch", "lora", "--force", node="2") == 0  # over what spandrel knows
    assert open_registry(own).attributes("experts", "micro/2.4")["base"] == "micro/0.3"
    assert run("registry", "verify", own) == 0
    capsys.readouterr()


def test_a_low_rank_expert_over_the_root(own: Path, world: Path, tmp_path: Path, capsys: Captured) -> None:
    assert extend(own, world, "--arch", "lora", "--dry-run") == 0
    assert "train " in capsys.readouterr().out
    assert extend(own, world, "--arch", "lora", "--force") == 0
    store = open_registry(own)
    record = store.read("experts", "micro/1.2")
    assert (record.attributes["arch"], record.attributes["base"]) == ("lora", "micro/0")
    assert record.attributes["config"] == {"rank": 8, "alpha": 16.0}
    assert record.attributes["parent"] is None
    state = load(record.arrays["weights"].tobytes())
    assert {name.rpartition(".")[2] for name in state} == {"lora_A", "lora_B"}
    assert any(tensor.any() for name, tensor in state.items() if name.endswith("lora_B"))
    assert extend(own, world, "--arch", "lora", "--force") == 0  # goes on from itself
    assert open_registry(own).attributes("experts", "micro/1.3")["parent"] == "micro/1.2"
    capsys.readouterr()
    save_file(state, tmp_path / "adapter.safetensors")
    for options in (("--arch", "lora"), ()):
        assert extend(own, world, "--weights", tmp_path / "adapter.safetensors", "--force", *options) == 0
        assert "adapter.safetensors: lora over experts/micro/0: " in capsys.readouterr().out
    assert extend(own, world, "--weights", tmp_path / "adapter.safetensors", node="2") == 2
    assert "is of no architecture that is here; tried " in errors_of(capsys)[0]
    assert run("registry", "verify", own) == 0
    capsys.readouterr()


def test_files_that_cannot_be_an_expert_are_one_line_each(
    own: Path, world: Path, tmp_path: Path, capsys: Captured
) -> None:
    made = tmp_path / "ran"
    (tmp_path / "trap.pth").write_bytes(pickle.dumps({"params": Trap(made)}))
    larger = theirs("ESRGAN.__arch.RRDB", "RRDBNet", num_filters=4, num_blocks=1, scale=4)
    torch.save(larger, tmp_path / "x4.pth")
    torch.save(torch.nn.Linear(3, 3).state_dict(), tmp_path / "linear.pth")
    network = theirs("NAFNet", "NAFNet", **NAFNET)
    torch.save(network, tmp_path / "net.pth")
    torch.save(network | {"intro.weight": network["intro.weight"] + torch.inf}, tmp_path / "odd.pth")
    cases = (
        (("trap.pth",), ("trap.pth", "wants to run")),
        (("x4.pth",), ("x4.pth: is of no architecture that is here", "spandrel: ESRGAN enlarges 4 times")),
        (("x4.pth", "--arch", "spandrel"), ("x4.pth: spandrel: ESRGAN enlarges 4 times, wanted scale 1",)),
        (("linear.pth",), ("tried resunet", "nafnet", "spandrel: no architecture has these 2 parameter names")),
        (("net.pth", "--arch", "resunet"), ("net.pth", "do not fit the network")),
        (("odd.pth", "--force"), ("all: the network of ", "odd.pth gives values that are infinite or no numbers")),
        (("none.pth",), ("none.pth", "no such file")),
    )
    for (name, *options), wanted in cases:
        assert extend(own, world, "--weights", tmp_path / name, *options, node="all") == 2
        lines = errors_of(capsys)
        assert len(lines) == 1
        assert all(text in lines[0] for text in wanted), lines
    assert not made.exists()
    assert open_registry(own).names("models") == ["default", "micro"]
