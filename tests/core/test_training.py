from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unirestorer.core.recipe import TrainingConfig
from unirestorer.core.training.loop import Batches, DivergedError, fit, learning_rate, optimizer_of, seeded

CONFIG = TrainingConfig(steps=40, batch=4, lr=0.05, warmup=5, ema=0.5, checkpoint_every=10)


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        loss: Tensor = ((self.layer(x) - y) ** 2).mean()
        return loss


def batches(number: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(number))
    return x, x.sum(1, keepdim=True)


def stop_at(step: int) -> Batches:
    def source(number: int) -> tuple[Tensor, Tensor]:
        if number == step:
            raise KeyboardInterrupt
        return batches(number)

    return source


def trained(path: Path) -> Line:
    model = seeded(Line, 1)
    fit(model, batches, CONFIG, checkpoint=path)
    return model


def equal(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    before = float(seeded(Line, 1)(*batches(99)).detach())
    assert float(trained(tmp_path / "c").eval()(*batches(99)).detach()) < 0.2 * before


@pytest.mark.parametrize("step", [3, 10, 27, 39])
def test_an_interrupted_run_resumes_bit_equal(tmp_path: Path, step: int) -> None:
    model = seeded(Line, 1)
    with pytest.raises(KeyboardInterrupt):
        fit(model, stop_at(step), CONFIG, checkpoint=tmp_path / "c.safetensors")
    resumed = seeded(Line, 1)
    fit(resumed, batches, CONFIG, checkpoint=tmp_path / "c.safetensors")
    assert equal(resumed, trained(tmp_path / "d.safetensors"))


def test_a_run_really_starts_from_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(seeded(Line, 1), stop_at(25), CONFIG, checkpoint=tmp_path / "c.safetensors")
    seen: list[int] = []

    def source(number: int) -> tuple[Tensor, Tensor]:
        seen.append(number)
        return batches(number)

    fit(seeded(Line, 1), source, CONFIG, checkpoint=tmp_path / "c.safetensors")
    assert seen[0] == 20


@pytest.mark.parametrize("content", [b"", b"garbage" * 100])
def test_a_damaged_checkpoint_means_starting_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.safetensors").write_bytes(content)
    model = seeded(Line, 1)
    fit(model, batches, CONFIG, checkpoint=tmp_path / "c.safetensors")
    assert equal(model, trained(tmp_path / "d.safetensors"))


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    assert equal(trained(tmp_path / "c.safetensors"), trained(tmp_path / "c.safetensors"))


def test_bfloat16_runs_resume_bit_equal_too(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"precision": "bf16"})
    models = [seeded(Line, 1) for _ in range(3)]
    fit(models[0], batches, config, checkpoint=tmp_path / "a.safetensors")
    with pytest.raises(KeyboardInterrupt):
        fit(models[1], stop_at(33), config, checkpoint=tmp_path / "b.safetensors")
    fit(models[2], batches, config, checkpoint=tmp_path / "b.safetensors")
    assert equal(models[0], models[2])


def test_the_learning_rate_warms_up_and_decays_to_a_hundredth() -> None:
    rates = [learning_rate(CONFIG, step) for step in (0, 4, 5, 40)]
    assert rates == pytest.approx([0.01, 0.05, 0.05, 0.0005])


def test_seeded_building_leaves_the_global_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    seeded(Line, 3)
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_infinite_loss_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="lower lr"):
        fit(
            seeded(Line, 1), lambda n: (batches(n)[0], torch.full((8, 1), torch.inf)), CONFIG, checkpoint=tmp_path / "c"
        )


def test_the_optimizer_is_the_one_of_the_recipe() -> None:
    parameters = [nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))]
    plain = optimizer_of(parameters, TrainingConfig(steps=1, weight_decay=0.05))
    assert isinstance(plain, torch.optim.AdamW)
    assert [(len(group["params"]), group["weight_decay"]) for group in plain.param_groups] == [(2, 0.05)]
    config = TrainingConfig(
        steps=1, optimizer="adam", weight_decay=0.05, decayed="matrices", eps=1e-6, betas=(0.9, 0.98)
    )
    other = optimizer_of(parameters, config)
    assert type(other) is torch.optim.Adam
    assert [(group["params"][0].ndim, group["weight_decay"]) for group in other.param_groups] == [(2, 0.05), (1, 0.0)]
    assert {(group["eps"], group["betas"]) for group in other.param_groups} == {(1e-6, (0.9, 0.98))}


def test_the_learning_rate_follows_the_schedule() -> None:
    cosine = TrainingConfig(steps=11, lr=1.0, warmup=1, floor=0.1)
    assert [learning_rate(cosine, step) for step in (0, 1, 6, 11)] == pytest.approx([1, 1, 0.55, 0.1])
    constant = cosine.model_copy(update={"schedule": "constant", "warmup": 2})
    assert [learning_rate(constant, step) for step in (0, 1, 2, 10)] == pytest.approx([0.5, 1, 1, 1])
