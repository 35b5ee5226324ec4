"""Results that do harm are not delivered: coarser experts, then the picture as it is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from unirestorer.core.canvas import PixelSheet, TensorSheet
from unirestorer.core.errors import ShapeError
from unirestorer.core.images import Picture
from unirestorer.core.restoring import Restoration, Restorer
from unirestorer.core.restoring.guards import GUARDS, harm
from unirestorer.core.restoring.meters import measure, tops
from unirestorer.core.treatment import Treatment

from .healing import Healing, found, mild, photo

ONE = Treatment(tile=0)


def noise(image: Tensor) -> Tensor:
    return torch.rand(image.shape, generator=torch.Generator().manual_seed(1))


def cast(image: Tensor) -> Tensor:
    return image * torch.tensor([0.2, 1.6, 0.3]).view(1, 3, 1, 1)


def blown(image: Tensor) -> Tensor:
    return (image * 1.6 + 0.2).clamp(0, 1)


BROKEN: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "noise": (noise, "shows something else|lost its details"),
    "black": (torch.zeros_like, "shows something else"),
    "grey": (lambda image: torch.full_like(image, 0.5), "shows something else"),
    "inverted": (lambda image: 1 - image, "shows something else"),
    "swapped": (lambda image: image.flip(1), "has other colours"),
    "cast": (cast, "has other colours|has a colour cast|lost its lights"),
    "reddened": (
        lambda image: image + torch.tensor([0.45, -0.05, -0.05]).view(1, 3, 1, 1),
        "has a colour cast|lost its lights",
    ),
    "displaced": (lambda image: image.roll(5, 3), "is displaced"),
    "displaced down": (lambda image: image.roll(-4, 2), "is displaced"),
    "mirrored": (lambda image: image.flip(3), "shows something else|lost its details"),
    "blurred away": (lambda image: torch.nn.functional.avg_pool2d(image, (1, 129), 1, (0, 64)), "lost its details"),
    "burnt": (blown, "burning its lights|lost its lights"),
    "posterised": (lambda image: image.round(), "lost its lights or shadows"),
    "no numbers": (lambda image: image * torch.nan, "not finite"),
    "another size": (lambda image: image[:, :, 1:], "wanted the same shape"),
}


@pytest.fixture(scope="module")
def picture() -> Picture:
    return photo()


def restored(picture: Picture, mixture: Healing, **said: bool | int) -> Restoration:
    return Restorer(mixture, Treatment(tile=0, **said)).restore(picture)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_expert_is_caught_and_a_coarser_one_taken(picture: Picture, kind: str) -> None:
    expert, reason = BROKEN[kind]
    done = restored(picture, Healing(lambda image: found(2), {"rain/heavy": expert}))
    first, second = done.route
    assert (first.outcome, first.experts, second.outcome, second.experts) == (
        "undone",
        ("rain/heavy",),
        "kept",
        ("rain",),
    )
    assert any(part in first.reason for part in reason.split("|")), first.reason
    assert np.array_equal(done.pixels, restored(picture, Healing(lambda image: found(1))).pixels)
    assert done.why == ""
    assert done.notes == (f"rain/heavy undone: {first.reason}",)


@pytest.mark.parametrize("kind", BROKEN)
def test_where_all_are_broken_the_picture_stays(picture: Picture, kind: str) -> None:
    expert = BROKEN[kind][0]
    done = restored(picture, Healing(lambda image: found(2), dict.fromkeys(("rain/heavy", "rain", "all"), expert)))
    assert [step.outcome for step in done.route] == ["undone"] * 3
    assert [step.experts for step in done.route] == [("rain/heavy",), ("rain",), ("all",)]
    assert done.unchanged
    assert done.picture is picture
    assert done.why == done.route[-1].reason != ""
    assert done.estimate.path == ("all", "rain", "rain/heavy")


def test_the_user_may_have_it_all_the_same(picture: Picture) -> None:
    mixture = Healing(lambda image: found(2), {"rain/heavy": lambda image: image.flip(1)})
    done = restored(picture, mixture, guards=False)
    assert np.array_equal(done.pixels, picture.pixels[..., ::-1])
    assert not done.route[0].meters
    mixture = Healing(lambda image: found(2), {"rain/heavy": lambda image: image * torch.nan})
    with pytest.raises(ShapeError, match="not finite"):
        restored(picture, mixture, guards=False)


def test_what_an_instruction_forbids_is_no_way_out(picture: Picture) -> None:
    only = np.array([name == 2 for name in range(6)])
    done = restored(picture, Healing(lambda image: found(2), {"rain/heavy": noise}, mask=only))
    assert len(done.route) == 1
    assert done.unchanged


@pytest.mark.parametrize(
    "good",
    [
        mild,
        lambda image: image,
        lambda image: image * 0.6 + 0.1,
        lambda image: image**0.7,
        lambda image: torch.nn.functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False),
        lambda image: torch.lerp(image.mean(1, keepdim=True).expand_as(image), image, 1.4).clamp(0, 1),
    ],
)
def test_what_good_experts_do_passes(picture: Picture, good: object) -> None:
    done = restored(picture, Healing(lambda image: found(2), {"rain/heavy": good}))  # type: ignore[dict-item]
    assert [step.outcome for step in done.route] == ["kept"]
    assert set(done.route[0].meters) >= {guard.meter for guard in GUARDS if guard.meter != "seams"}


def test_tiles_of_different_brightness_are_caught(picture: Picture) -> None:
    def uneven(image: Tensor) -> Tensor:  # as networks do that normalise over all they see
        return image - image.mean() + 0.5

    done = Restorer(Healing(lambda image: found(2), {"rain/heavy": uneven}), Treatment(tile=96, overlap=32)).restore(
        picture
    )
    assert [step.outcome for step in done.route] == ["undone", "kept"]
    assert "has seams (seams " in done.route[0].reason
    assert done.route[1].meters["seams"] < 0.5


def test_a_noisy_or_dark_picture_may_be_cleaned(picture: Picture) -> None:
    noisy = picture.pixels + np.random.default_rng(0).normal(0, 30, picture.pixels.shape)
    for damaged in (np.clip(noisy, 0, 255), picture.pixels // 8, picture.pixels // 3 + 160):
        before, after = PixelSheet(damaged.astype(np.uint8)), PixelSheet(picture.pixels)
        assert harm(measure(before, after)) == ""


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (15, 17), (16, 64), (17, 65), (33, 900), (600, 20)])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_any_size_and_flat_pictures(size: tuple[int, int], level: float) -> None:
    flat = TensorSheet(torch.full((1, 3, *size), level))
    assert harm(measure(flat, flat)) == ""
    assert harm(measure(flat, TensorSheet(flat.image * 0.9 + 0.04))) == ""
    random = TensorSheet(torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)))
    assert harm(measure(random, random)) == ""


def test_noise_on_a_flat_picture_is_harm() -> None:
    flat = TensorSheet(torch.full((1, 3, 64, 64), 0.5))
    assert harm(measure(flat, TensorSheet(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))))


@pytest.mark.parametrize("height", [1, 15, 16, 17, 31, 32, 100, 480, 1000, 4000, 10000])
def test_bands_lie_inside_apart_and_all_over(height: int) -> None:
    found = list(tops(height))
    assert all(0 <= top <= max(0, height - 16) for top in found)
    assert all(after - before >= 16 for before, after in pairwise(found))
    assert 16 * len(found) <= max(16, height)
    assert np.diff([0, *found, height]).max() <= max(160, height / 4, 48)


def test_what_is_no_number_is_no_good() -> None:
    for guard in GUARDS:
        assert guard.broken(float("nan"))
        assert guard.broken(guard.limit + (1e-3 if guard.most else -1e-3))
        assert not guard.broken(guard.limit)


def test_what_looks_undamaged_is_left_alone_though_the_routers_chose_an_expert(picture: Picture) -> None:
    mixture = Healing(lambda image: found(4, undamaged=0.75))
    done = restored(picture, mixture)
    assert done.unchanged
    assert done.why == "looks undamaged (clean 0.75), though the routers chose haze/thick"
    assert not mixture.ran
    assert not restored(picture, mixture, guards=False).unchanged
    told = Healing(mixture.look, mask=np.ones(6, dtype=np.bool_))
    assert not restored(picture, told).unchanged, "an instruction is followed"


def test_an_untouched_picture_says_why(picture: Picture) -> None:
    assert restored(picture, Healing(lambda image: found(5, undamaged=0.61))).why == "looks undamaged (clean 0.61)"


def test_something_unknown_is_said(picture: Picture) -> None:
    done = restored(picture, Healing(lambda image: found(2, novelty=1.42)))
    assert done.notes == ("unlike anything the model was trained on (novelty 1.42); look at the result",)
    assert restored(picture, Healing(lambda image: found(2, novelty=0.9))).notes == ()


def test_a_batch_of_tensors_is_guarded_one_by_one(picture: Picture) -> None:
    image = torch.from_numpy(picture.pixels.copy()).permute(2, 0, 1)[None].float() / 255
    batch = torch.cat([image, image * 0.5])
    mixture = Healing(
        lambda image: found(4 if image.max() < 0.6 else 2), {"haze/thick": noise, "haze": noise, "all": noise}
    )
    done = Restorer(mixture, ONE).restore_tensor(batch)
    assert [[step.outcome for step in route] for route in done.routes] == [["kept"], ["undone"] * 3]
    assert torch.equal(done.tensor[1], batch[1])
