"""The contract of DR extractors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..contracts import ExtractorSpec, Prompts
from ..weights import pack, sha256, unpack
from .contract import does_not_apply, random_state, require, require_equal, require_range
from .data import clean_images, with_extremes
from .network import NetworkContract, require_gradients

SIZES = ((1, 1), (1, 9), (5, 37), (37, 5), (33, 64), (64, 48), (129, 131))
PROMPTS = Prompts(("noise", "rain"), (("noise", "small"), ("noise", "large"), ("rain", "small")))


class ExtractorContract(NetworkContract):
    """What every extractor promises; see ``unirestorer.core.contracts.Extractor``."""

    spec: ExtractorSpec[Any]

    def is_trained(self) -> bool:
        """Those with an objective."""
        return self.spec.objective is not None

    def test_width_is_a_positive_number(self) -> None:
        """``dim`` is the width D of the representation; ``training_side`` a number of pixels."""
        dim = getattr(self.build(), "dim", None)
        require(type(dim) is int and dim > 0, "dim", repr(dim), "a positive int")
        if self.spec.training_side is not None:
            (config,) = self.configs().values()
            side = self.spec.training_side(config)
            require(type(side) is int and side > 0, "training_side(config)", repr(side), "a positive int")

    def test_any_size(self) -> None:
        """Images of any H and W, black and white ones too: finite float32 (B, dim)."""
        network: Any = self.build()
        for height, width in SIZES:
            for images in (with_extremes(height, width), clean_images(1, height, width)):
                dr = self.run(network, images)
                what = f"DRs of {len(images)} images of {height} x {width} pixels"
                require_range(dr, (len(images), network.dim), what, limits=False)

    def test_inference_mode(self) -> None:
        """The host extracts in ``torch.inference_mode``: the same DRs."""
        network, images = self.stirred(), clean_images(2)
        wanted = self.run(network, images)
        with torch.inference_mode():
            require_equal(network(images.clone()), wanted, "DRs in inference mode", "equal bits")

    def test_objective_trains_the_extractor(self) -> None:
        """The objective is a finite scalar of the spec's ``inputs``, and its gradient reaches the parameters."""
        if self.spec.objective is None:
            raise does_not_apply("the spec has no objective")
        (config,) = self.configs().values()
        side = 64 if self.spec.training_side is None else self.spec.training_side(config)
        batch = {
            "images": clean_images(6, side, side),
            "prompt": torch.tensor([0, 1, 2, 0, 1, 2]),
            "photo": torch.arange(6),
            "clean": clean_images(6, side, side, seed=2),
        }
        with_captions = replace(PROMPTS, captions=tuple(f"photo number {number}" for number in range(6)))
        for prompts in (PROMPTS, with_captions) if "photo" in self.spec.inputs else (PROMPTS,):
            network = self.stirred()
            with random_state(0):
                objective = self.spec.objective(network, prompts).train()
                loss = objective(*(batch[name] for name in self.spec.inputs))
            require_gradients(loss, network, "loss of the objective")

    def test_given_weights_are_repeatable(self) -> None:
        """``files`` are paths; ``pretrained`` after one torch seed gives equal weights, whatever else is random."""
        if self.spec.pretrained is None and self.spec.files is None:
            raise does_not_apply("the spec has neither pretrained nor files")
        (config,) = self.configs().values()
        files = () if self.spec.files is None else self.spec.files(config)
        good = isinstance(files, list | tuple) and all(isinstance(path, Path) for path in files)
        require(good, "files(config)", repr(files), "a list or tuple of paths")
        found = []
        for others in (0, 1):
            network = self.build(seed=3)
            if self.spec.pretrained is not None:
                with random_state(others, torch_seed=4):
                    self.spec.pretrained(network, config)
            found.append(sha256(pack(network)))
        require(found[0] == found[1], "weights after pretrained(network, config)", "other bytes", "equal bytes")

    def test_calibration_is_repeatable(self) -> None:
        """Equal batches, read once, give equal weights; the state dict holds what was found; DRs are finite."""
        if self.spec.calibrate is None:
            raise does_not_apply("the spec has no calibrate")
        images, found = clean_images(3, *self.size()), []
        for others in (0, 1):
            network = self.stirred()
            batches = (clean_images(8, *self.size(), seed=seed) for seed in (6, 7, 8))
            with random_state(others, torch_seed=4), torch.no_grad():
                self.spec.calibrate(network, batches)
            found.append(pack(network))
        same = sha256(found[0]) == sha256(found[1])
        require(same, "weights after calibrate(network, batches)", "other bytes", "equal bytes")
        wanted = self.run(network, images)
        require(torch.isfinite(wanted).all(), "DRs after calibrate", "values that are not finite", "finite values")
        copy = self.stirred()
        unpack(copy, found[1], "the copy")
        require_equal(self.run(copy, images), wanted, "DRs with the weights stored after calibrate", "equal bits")

    def test_labels_have_representations(self) -> None:
        """``labelled`` gives every prompt a DR of its own, finite float32 (P, dim), the same again."""
        if self.spec.labelled is None:
            raise does_not_apply("the spec has no labelled")
        network: Any = self.stirred()
        with torch.no_grad():
            dr, again = (self.spec.labelled(network, PROMPTS) for _ in range(2))
        require_range(dr, (len(PROMPTS.pairs), network.dim), "labelled(network, prompts)", limits=False)
        require_equal(again, dr, "labelled(network, prompts) again", "equal bits")
        require(
            len(torch.unique(dr, dim=0)) == len(dr), "labelled(network, prompts)", "equal DRs", "one of its own each"
        )
