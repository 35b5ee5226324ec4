from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import unirestorer
from unirestorer import api
from unirestorer.cli.app import main
from unirestorer.core.contracts import SizeRequirement
from unirestorer.core.errors import UnknownNameError
from unirestorer.core.instruction import Instruction
from unirestorer.core.mixture import Estimate, Expert
from unirestorer.core.restoring import Restorer
from unirestorer.core.treatment import Treatment
from unirestorer.model import Model


@dataclass(frozen=True)
class Result:
    """What a run of the program left behind."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines on stderr, each of which must be an error line."""
        lines = self.err.splitlines()
        assert all(line.startswith("error: ") for line in lines), self.err
        return lines


Run = Callable[..., Result]


class FakeMixture:
    """Dark images are 'dark' (node 1: a convolution that adds 10), others 'clean' (node 2: the identity)."""

    tasks = ("clean", "dark")

    def __init__(self) -> None:
        self._net = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self._net.weight.copy_(torch.eye(3)[:, :, None, None])
            assert self._net.bias is not None
            self._net.bias.fill_(10 / 255)

    def allowed(self, instruction: Instruction) -> NDArray[np.bool_] | None:
        if not instruction:
            return None
        tasks = instruction.tasks
        for task in tasks:
            if task not in self.tasks:
                raise UnknownNameError("task", task, self.tasks)
        return np.array([False, "dark" in tasks, "clean" in tasks])

    def estimate(self, image: Tensor, allowed: NDArray[np.bool_] | None = None) -> Estimate:
        dark = bool(image.mean() < 0.5) if allowed is None else bool(allowed[1])
        name = "dark" if dark else "clean"
        types = {"dark": 0.9 if dark else 0.1, "clean": 0.1 if dark else 0.9}
        return Estimate(1 if dark else 2, ("all", name), name, types, {"ALL": 0.2, "TYPE": 0.8}, types, (("all", 0.2),))

    def expert(self, node: int) -> Expert:
        return Expert(self._net, SizeRequirement(8), node == 2, "dark" if node == 1 else "clean")


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(model: object = None, *, treatment: Treatment | None = None, **options: object) -> Model:
        return Model(Restorer(FakeMixture(), treatment or Treatment()))

    monkeypatch.setattr(unirestorer, "load", load)  # first: else the name would be looked up later, and the fake kept
    monkeypatch.setattr(api, "load", load)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def invoke(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(int(stop.value.code or 0), captured.out, captured.err)

    return invoke


@pytest.fixture
def photo() -> Callable[..., Path]:
    """Writes a photo of noise around a grey level."""

    def write(path: Path, level: int = 60, size: tuple[int, int] = (40, 30)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(level).integers(-20, 20, (size[1], size[0], 3))
        Image.fromarray((level + noise).astype(np.uint8)).save(path)
        return path

    return write
