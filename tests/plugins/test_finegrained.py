"""``finegrained``: native resolution, prompts of type and degree, and equal prompts that are no negatives."""

from __future__ import annotations

from math import log
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import interpolate, normalize, pad

from tests.plugins.test_daclip import TOWER
from unirestorer.core import Prompts
from unirestorer.core.recipe import TrainingConfig
from unirestorer.core.training.loop import fit, seeded
from unirestorer.plugins.extractors.configs import DaClipConfig, FineGrainedConfig
from unirestorer.plugins.extractors.daclip import DaClip
from unirestorer.plugins.extractors.daclip_losses import (
    DaClipObjective,
    FineGrainedObjective,
    Texts,
    info_nce,
    multi_positive,
)
from unirestorer.plugins.extractors.finegrained import FineGrained
from unirestorer.plugins.extractors.phrases import pair_phrase, type_phrase
from unirestorer.plugins.extractors.towers import build_clip, embed_texts

CONFIG = FineGrainedConfig(tower=TOWER)
LEVELS = (0.02, 0.08, 0.25)
PROMPTS = Prompts(("noise",), (("noise", "small"), ("noise", "medium"), ("noise", "large")))
SHARP = torch.tensor(100.0)


def extractor() -> FineGrained:
    made: FineGrained = seeded(lambda: FineGrained(CONFIG), 0)
    return made


def test_the_centre_is_looked_at_as_it_is() -> None:
    image = torch.rand(2, 3, 100, 91)
    assert torch.equal(extractor().window(image), image[..., 34:66, 29:61])


@pytest.mark.parametrize(("height", "width"), [(20, 30), (17, 32), (31, 100)])
def test_smaller_images_are_mirrored_at_their_edges(height: int, width: int) -> None:
    image = torch.rand(1, 3, height, width)
    high, wide = max(0, 32 - height), max(0, 32 - width)
    wanted = pad(image, ((wide + 1) // 2, wide // 2, (high + 1) // 2, high // 2), mode="reflect")
    left = max(0, width - 32) // 2
    assert torch.equal(extractor().window(image), wanted[..., left : left + 32])


def test_tiny_images_are_mirrored_again_and_again() -> None:
    line = torch.tensor([0.0, 0.5, 1.0]).expand(1, 3, 1, 3)
    row = extractor().window(line)[0, 0, 0]
    assert set(row.tolist()) == {0.0, 0.5, 1.0}
    assert (row[1:] - row[:-1]).abs().eq(0.5).all()
    assert torch.equal(extractor().window(line)[0, 0], row.expand(32, 32))


@pytest.mark.parametrize(
    ("kind", "degree", "phrase"),
    [
        ("noise", "small", "small noise"),
        ("haze", "thick", "thick haze"),
        ("lowlight", "heavy", "heavy low light"),
        ("clean", "none", "no degradation"),
        ("h-n-r", "heavy", "heavy noise and rain and haze"),
        ("mixed", "noise small + rain large", "small noise and large rain"),
        ("mixed", "noise + lowlight", "noise and low light"),
        ("mixed", "noise small", "small noise"),
        ("mixed", "heavy", "heavy damage"),
        ("lens_flare", "faint", "faint lens flare"),
    ],
)
def test_prompts_name_degree_and_type(kind: str, degree: str, phrase: str) -> None:
    assert pair_phrase(kind, degree, CONFIG.words) == phrase


def test_the_original_names_the_type_alone() -> None:
    words = DaClipConfig().words
    assert [type_phrase(kind, words) for kind in ("noise", "h-r", "clean")] == ["noisy", "rainy and hazy", "clean"]


def test_prompts_are_read_by_the_text_tower_as_written() -> None:
    made = FineGrainedObjective(extractor(), PROMPTS)
    wanted = embed_texts(made.clip, [f"a photo with {degree} noise" for degree in ("small", "medium", "large")])
    torch.testing.assert_close(made.prompts.table, wanted)
    assert made.prompts.label.tolist() == [0, 1, 2]


def test_a_template_has_a_place_for_the_prompt() -> None:
    with pytest.raises(ValidationError, match="template"):
        FineGrainedConfig(template="a photo")


def test_equal_prompts_are_no_negatives_of_each_other() -> None:
    classes = torch.arange(8).repeat(4)
    table = torch.eye(8)
    assert float(info_nce(table[classes], table[classes], SHARP)) == pytest.approx(log(4), abs=1e-3)
    assert float(multi_positive(table[classes], table, classes, SHARP)) < 1e-3


def test_all_images_of_a_text_count_alike() -> None:
    table, label = torch.eye(2), torch.tensor([0, 0, 1])
    near = normalize(torch.tensor([[1.0, 0.0], [1.0, 0.9], [0.0, 1.0]]), dim=1)
    by_text = [-(torch.tensor([0.5, 0.5]) * (10 * near[:, 0]).log_softmax(0)[:2]).sum() - log(2)]
    by_text.append(-(10 * near[:, 1]).log_softmax(0)[2])
    by_image = -(10 * near).log_softmax(1)[torch.arange(3), label].mean()
    wanted = (by_image + sum(by_text) / 2) / 2
    assert float(multi_positive(near, table, label, torch.tensor(10.0))) == pytest.approx(float(wanted), abs=1e-5)


def test_texts_without_an_image_in_the_batch_are_negatives() -> None:
    images, label = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    alone = multi_positive(images, torch.tensor([[1.0, 0.0]]), label, torch.tensor(1.0))
    beside = multi_positive(images, torch.tensor([[1.0, 0.0], [0.9, 0.1]]), label, torch.tensor(1.0))
    assert float(alone) == 0
    assert beside > 0.3


def test_equal_texts_are_one() -> None:
    texts = Texts.of(["the sea", "a house", "the sea"], seeded(lambda: build_clip(TOWER), 0))
    assert len(texts.table) == 2
    present, label = texts.among_themselves(torch.tensor([2, 0, 2]))
    assert torch.equal(present, texts.table[:1])
    assert label.tolist() == [0, 0, 0]
    assert torch.equal(texts.each(torch.tensor([0])), texts.each(torch.tensor([2])))


def test_a_term_on_types_can_be_added() -> None:
    pairs = (("noise", "small"), ("noise", "large"), ("haze", "thick"))
    prompts = Prompts(("noise", "haze"), pairs)
    batch = (torch.rand(6, 3, 32, 32), torch.tensor([0, 1, 2, 0, 1, 2]), torch.zeros(6, dtype=torch.int64))

    def loss(weight: float) -> float:
        config = FineGrainedConfig(tower=TOWER, type_weight=weight)
        made = seeded(lambda: FineGrainedObjective(FineGrained(config), prompts), 0)
        return float(made(*batch).detach())

    assert loss(2) - loss(0) == pytest.approx(2 * (loss(1) - loss(0)), abs=1e-4)
    assert loss(1) > loss(0)


def test_the_loss_is_taken_in_full_precision() -> None:
    prompts = Prompts(PROMPTS.types, PROMPTS.pairs, ("the sea", "a house"))
    made = seeded(lambda: FineGrainedObjective(extractor(), prompts), 0)
    made.logit_scale.data.fill_(log(100))
    batch = (torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 0, 1]))
    with torch.autocast("cpu", torch.bfloat16):
        loss = made(*batch)
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(float(made(*batch).detach()), rel=0.1)


# Training


def noisy(number: int, count: int = 24) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth pictures with one of three levels of noise."""
    draw = torch.Generator().manual_seed(number)
    prompt = torch.arange(count) % 3
    smooth = 0.3 + 0.4 * interpolate(torch.rand(count, 3, 4, 4, generator=draw), (32, 32), mode="bilinear")
    noise = torch.randn(count, 3, 32, 32, generator=draw) * torch.tensor(LEVELS)[prompt, None, None, None]
    return (smooth + noise).clamp(0, 1), prompt, torch.zeros(count, dtype=torch.int64)


def held_out_loss(objective: torch.nn.Module, checkpoint: Path) -> float:
    """Mean loss over batches that were not trained on."""
    training = TrainingConfig(steps=60, batch=24, lr=3e-3, warmup=5, ema=0, weight_decay=0)
    fit(objective, noisy, training, checkpoint=checkpoint)
    with torch.no_grad():
        return sum(float(objective(*noisy(number))) for number in range(1000, 1004)) / 4


def test_it_learns_degrees_where_the_original_cannot(tmp_path: Path) -> None:
    fine = seeded(lambda: FineGrainedObjective(extractor(), PROMPTS), 1)
    loss = held_out_loss(fine, tmp_path / "fine.safetensors")
    plain = seeded(lambda: DaClipObjective(seeded(lambda: DaClip(DaClipConfig(tower=TOWER)), 0), PROMPTS), 1)
    assert held_out_loss(plain, tmp_path / "plain.safetensors") == pytest.approx(log(24), abs=0.05)
    assert loss < 0.4
