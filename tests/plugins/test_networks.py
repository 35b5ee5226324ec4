"""What the built-in extractor and expert do beyond the conformance kit (``tests/contracts``)."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize

from unirestorer.core import Prompts
from unirestorer.core.training.loop import seeded
from unirestorer.core.weights import pack, sha256, unpack
from unirestorer.plugins.experts.configs import ResUNetConfig
from unirestorer.plugins.experts.resunet import ResUNet, recognise
from unirestorer.plugins.extractors.compact import CompactExtractor, PromptContrast, blocking, centre_crop
from unirestorer.plugins.extractors.configs import CompactConfig

SMALL = CompactConfig(crop=64, widths=(8, 8), dim=16)
PROMPTS = Prompts(("noise", "rain"), (("noise", "small"), ("noise", "large"), ("rain", "small")))


def extractor() -> CompactExtractor:
    return seeded(lambda: CompactExtractor(SMALL), 0).eval()


def smooth(side: int = 96) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC))


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def test_only_the_centre_counts() -> None:
    image = torch.rand(1, 3, 128, 128)
    other = image.clone()
    other[..., :30, :] = 0
    assert torch.equal(extractor()(image), extractor()(other))


def test_the_centre_crop_is_never_resized() -> None:
    image = torch.rand(1, 3, 100, 90)
    assert torch.equal(centre_crop(image, 64), image[..., 18:82, 13:77])


@pytest.mark.parametrize("shift", [0, 1, 3, 5])
def test_the_jpeg_grid_shows_wherever_the_crop_begins(shift: int) -> None:
    clean, buffer = smooth(), io.BytesIO()
    Image.fromarray(clean).save(buffer, "JPEG", quality=20)
    coded = np.asarray(Image.open(buffer).convert("RGB"))
    strength = [float(blocking(tensor(p[shift:, shift:]))[0, 7]) for p in (clean, coded)]  # steepest luma phase
    assert strength[1] > 3 * abs(strength[0]) + 0.1


def test_equal_prompts_are_positives_not_negatives_of_each_other() -> None:
    objective = seeded(lambda: PromptContrast(extractor(), PROMPTS), 1)
    dr = normalize(torch.tensor([[1.0, 0.0]] * 4 + [[-1.0, 0.0]] * 4), dim=1)
    together = objective._contrast(dr, torch.tensor([0] * 4 + [1] * 4))
    apart = objective._contrast(dr, torch.tensor([0, 1] * 4))
    assert float(together) == pytest.approx(float(torch.tensor(3.0).log()), abs=1e-3)
    assert apart > together + 5


def test_a_batch_without_positives_has_no_contrast() -> None:
    objective = seeded(lambda: PromptContrast(extractor(), PROMPTS), 1)
    assert float(objective._contrast(normalize(torch.randn(3, 4), dim=1), torch.arange(3))) == 0


def test_training_the_objective_reaches_the_extractor() -> None:
    objective = seeded(lambda: PromptContrast(CompactExtractor(SMALL), PROMPTS), 1)
    objective(torch.rand(6, 3, 64, 64), torch.tensor([0, 1, 2, 0, 1, 2])).backward()
    gradients = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in objective.extractor.parameters()]
    assert all(gradients)


@pytest.mark.parametrize("config", [ResUNetConfig(), ResUNetConfig(widths=(8,), encoder=(1,), decoder=())])
def test_an_untrained_expert_is_the_identity(config: ResUNetConfig) -> None:
    image = torch.rand(2, 3, 32, 48)
    assert torch.equal(ResUNet(config)(image), image)


def test_impossible_depths_are_refused() -> None:
    with pytest.raises(ValueError, match="one number per width"):
        ResUNetConfig(widths=(8, 8), encoder=(1,), decoder=(1,))


def test_packed_weights_are_repeatable_and_come_back() -> None:
    network, copy = seeded(lambda: ResUNet(ResUNetConfig()), 0), seeded(lambda: ResUNet(ResUNetConfig()), 1)
    weights = pack(network)
    assert sha256(weights) == sha256(pack(network))
    unpack(copy, weights, "copy")
    assert sha256(pack(copy)) == sha256(weights)


@pytest.mark.parametrize("widths", [(8,), (8, 12), (4, 8, 12)])
def test_a_resunet_is_recognised_by_its_parameters(widths: tuple[int, ...]) -> None:
    config = ResUNetConfig(widths=widths, encoder=(2, 1, 3)[: len(widths)], decoder=(1, 2)[: len(widths) - 1])
    state = seeded(lambda: ResUNet(config), 0).state_dict()
    assert recognise(state) == config
    assert recognise({**state, "more": torch.zeros(1)}) is None
    assert recognise({**state, "tail.bias": torch.zeros(13)}) is None
    assert recognise({}) is None
