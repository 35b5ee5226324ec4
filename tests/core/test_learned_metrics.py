"""LPIPS against its formula; pyiqa through a module with the signatures of its own (it is never a dependency)."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unirestorer.core.errors import (
    ConfigError,
    MissingExtraError,
    PluginError,
    ShapeError,
    UnknownNameError,
    WeightsError,
)
from unirestorer.core.evaluating.conventions import STANDARD, Y
from unirestorer.core.evaluating.learned import Lpips
from unirestorer.core.evaluating.metrics import Metrics
from unirestorer.core.vision import prepare_torchvision

_declared = prepare_torchvision()
from torchvision import models  # noqa: E402

BACKBONES = {
    "alex": ("AlexNet", models.alexnet, (1, 4, 7, 9, 11), 31),
    "vgg": ("VGG-16", models.vgg16, (3, 8, 15, 22, 29), 16),
    "squeeze": ("SqueezeNet 1.1", models.squeezenet1_1, (1, 4, 7, 9, 10, 11, 12), 17),
}
"""What it is, torchvision's network, after which of its layers features are compared, and the smallest side."""
Image = NDArray[np.uint8]
Backbone = tuple[str, nn.Sequential, Path]


def pair(height: int, width: int) -> tuple[Image, Image]:
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.clip(clean + rng.normal(0, 30, clean.shape), 0, 255).astype(np.uint8), clean


def random_features(kind: str) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        features: nn.Sequential = BACKBONES[kind][1](weights=None).features
    return features.eval()


def saved(features: nn.Module, path: Path) -> Path:
    """As torchvision's files: the classifier is there, too."""
    state = {f"features.{name}": value for name, value in features.state_dict().items()}
    torch.save({**state, "classifier.1.weight": torch.zeros(4, 4)}, path)
    return path


@pytest.fixture(scope="module", params=BACKBONES)
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    features = random_features(request.param)
    return request.param, features, saved(features, tmp_path_factory.mktemp("weights") / "weights.pth")


@pytest.fixture
def alexnet(tmp_path: Path) -> Path:
    return saved(random_features("alex"), tmp_path / "alexnet.pth")


def heads(kind: str) -> list[Tensor]:
    spec = find_spec("torchmetrics")
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).parent / "functional" / "image" / "lpips_models" / f"{kind}.pth"
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return [state[f"lin{i}.model.1.weight"] for i in range(len(state))]


def by_hand(kind: str, features: nn.Sequential, image: Image, truth: Image) -> float:
    """Equation 1 of Zhang et al. 2018 on inputs in [-1, 1], shifted and scaled as in their code."""

    def normalized(pixels: Image) -> list[Tensor]:
        values = torch.from_numpy(pixels.transpose(2, 0, 1) / np.float32(127.5) - 1)[None].float()
        values = (values - torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)) / torch.tensor(
            [0.458, 0.448, 0.450]
        ).view(3, 1, 1)
        found = []
        compared = BACKBONES[kind][2]
        for index, layer in enumerate(list(features)[: max(compared) + 1]):
            values = layer(values)
            if index in compared:
                found.append(values / values.norm(dim=1, keepdim=True))
        return found

    with torch.no_grad():
        layers = zip(normalized(image), normalized(truth), heads(kind), strict=True)
        return sum(float((weight * (x - y) ** 2).sum(1).mean()) for x, y, weight in layers)


def test_lpips_is_the_published_formula(backbone: Backbone) -> None:
    kind, features, path = backbone
    metrics = Metrics([STANDARD], lpips=path)
    image, truth = pair(41, 37)
    value = metrics.score(image, truth)["lpips"]
    assert value == pytest.approx(by_hand(kind, features, image, truth), rel=1e-4)
    assert value > 1e-4
    assert metrics.score(truth, truth)["lpips"] == 0
    facts = metrics.facts()["lpips"]
    assert facts["lower_better"]
    assert facts["backbone"] == BACKBONES[kind][0]
    assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_image_too_small_for_the_backbone_is_one_line(backbone: Backbone) -> None:
    kind, _, path = backbone
    metric = Lpips(path)
    least = BACKBONES[kind][3]
    assert np.isfinite(metric(torch.rand(1, 3, least, 40), torch.rand(1, 3, least, 40)))
    with pytest.raises(ShapeError, match=f"wanted a pair of at least {least} x {least} for {BACKBONES[kind][0]}"):
        metric(torch.rand(1, 3, least - 1, 40), torch.rand(1, 3, least - 1, 40))


def test_building_lpips_fetches_nothing_and_draws_nothing(alexnet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    before = torch.random.get_rng_state()
    first, second = (Lpips(alexnet)(torch.zeros(1, 3, 40, 40), torch.ones(1, 3, 40, 40)) for _ in range(2))
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), before)


def other_weights() -> dict[str, dict[str, Tensor]]:
    alex = {f"features.{name}": value for name, value in random_features("alex").state_dict().items()}
    old = models.squeezenet1_0(weights=None).features.state_dict()
    return {
        "no backbone": {"conv.weight": torch.zeros(3, 3)},
        "squeezenet1_0": {f"features.{name}": value for name, value in old.items()},
        "one layer more": {**alex, "features.12.weight": torch.zeros(4)},
        "other shape": {**alex, "features.0.weight": torch.zeros(64, 3, 7, 7)},
    }


@pytest.mark.parametrize("what", ["no backbone", "squeezenet1_0", "one layer more", "other shape"])
def test_other_weights_are_one_line(what: str, tmp_path: Path) -> None:
    torch.save(other_weights()[what], tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"net\.pth: got weights that LPIPS has no heads for, wanted .*alexnet-owt"):
        Metrics(lpips=tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="no such file of weights"):
        Metrics(lpips=tmp_path / "missing.pth")


def test_learned_metrics_see_the_image_in_8_bit(alexnet: Path) -> None:
    metrics = Metrics([Y], lpips=alexnet)
    image, truth = pair(40, 40)
    assert set(metrics.score(image, None)) == set()
    floating = np.clip((image + 0.3) / 255, 0, 1).astype(np.float32)
    assert metrics.score(floating, truth) == metrics.score(image, truth)


PYIQA = """
import torch

__version__ = "0.1.16"
MODES = {"niqe": ("NR", True), "topiq_fr": ("FR", False), "fid": ("NR", True), "needs_network": ("NR", True)}


class InferenceModel(torch.nn.Module):
    def __init__(self, metric_name, as_loss=False, device=None, **kwargs):
        super().__init__()
        if metric_name == "needs_network":
            raise OSError("Network is unreachable")
        self.metric_name, self.device = metric_name, device
        self.metric_mode, self.lower_better = MODES[metric_name]

    def forward(self, target, ref=None, **kwargs):
        assert self.device == torch.device("cpu")
        assert target.dim() == 4 and target.shape[1] == 3 and 0 <= target.min() and target.max() <= 1
        if self.metric_name == "fid":
            raise TypeError("expected str, bytes or os.PathLike object, not Tensor")
        if self.metric_mode == "FR":
            assert ref.shape == target.shape
            return 1 - (target - ref).abs().mean((1, 2, 3))
        assert ref is None
        return target.mean((1, 2, 3))[:, None]


def create_metric(metric_name, as_loss=False, device=None, **kwargs):
    assert metric_name in MODES, f"Metric {metric_name} not implemented yet."
    return InferenceModel(metric_name, as_loss=as_loss, device=device, **kwargs)


def list_models(metric_mode=None, filter="", exclude_filters=""):
    return sorted(MODES)
"""
"""Names, arguments and results as in pyiqa 0.1.16; the scores are not its own."""


@pytest.fixture
def pyiqa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "pyiqa").mkdir()
    (tmp_path / "pyiqa" / "__init__.py").write_text(PYIQA, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "pyiqa", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("pyiqa", None)


@pytest.mark.usefixtures("pyiqa")
def test_metrics_of_pyiqa_are_called_as_it_documents() -> None:
    metrics = Metrics([STANDARD], iqa=["niqe", "topiq_fr"])
    image, truth = pair(20, 24)
    scores = metrics.score(image, truth, "noise")
    assert set(scores) == {"standard.psnr", "standard.ssim", "niqe", "topiq_fr"}
    assert scores["niqe"] == pytest.approx(image.mean() / 255, abs=1e-6)
    assert scores["topiq_fr"] == pytest.approx(1 - np.abs(image / 255 - truth / 255).mean(), abs=1e-6)
    assert metrics.facts()["niqe"] == {"pyiqa": "0.1.16", "lower_better": True}
    assert not metrics.facts()["topiq_fr"]["lower_better"]


@pytest.mark.usefixtures("pyiqa")
def test_without_a_truth_the_metrics_are_left_that_need_none() -> None:
    image, _ = pair(20, 24)
    assert Metrics(iqa=["niqe", "topiq_fr"]).score(image, None) == {"niqe": pytest.approx(image.mean() / 255, abs=1e-6)}
    with pytest.raises(ShapeError, match="wanted RGB"):
        Metrics(iqa=["niqe"]).score(image[..., 0], None)


@pytest.mark.usefixtures("pyiqa")
def test_what_pyiqa_fails_at_is_one_line() -> None:
    with pytest.raises(UnknownNameError, match="unknown metric of pyiqa 'nique'; did you mean 'niqe'"):
        Metrics(iqa=["nique"])
    with pytest.raises(PluginError, match=r"'needs_network' cannot be made; it fetches its weights .* is unreachable"):
        Metrics(iqa=["needs_network"])
    with pytest.raises(PluginError, match="'fid' fails on 20 x 24 pixels; leave it out: TypeError: expected str"):
        Metrics(iqa=["fid"]).score(*pair(20, 24))
    with pytest.raises(ConfigError, match="'niqe' is asked for twice"):
        Metrics(iqa=["niqe", "niqe"])


def test_without_pyiqa_one_line_says_how_to_get_it_and_on_what_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(MissingExtraError, match=r"'niqe' needs pyiqa.*pip install pyiqa.*PolyForm.*S-Lab") as caught:
        Metrics(iqa=["niqe"])
    assert "\n" not in str(caught.value)
