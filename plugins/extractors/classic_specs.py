"""Registration of ``vgg``, ``ddr`` and ``manual``, which the paper compares (Table 7); free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unirestorer.core import ExtractorSpec, Prompts

from .configs import DdrConfig, ManualConfig, VggConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor, nn


def _vgg(config: VggConfig) -> nn.Module:
    from .vgg import Vgg

    return Vgg(config)


def _vgg_objective(extractor: Any, prompts: Prompts) -> nn.Module:
    from .vgg import Classification

    return Classification(extractor, prompts)


def _vgg_weights(extractor: Any, config: VggConfig) -> None:
    from .vgg import load_weights

    load_weights(extractor, config)


def _ddr(config: DdrConfig) -> nn.Module:
    from .ddr import Ddr

    return Ddr(config)


def _ddr_objective(extractor: Any, prompts: Prompts) -> nn.Module:
    from .ddr import SuperResolution

    return SuperResolution(extractor)


def _ddr_weights(extractor: Any, config: DdrConfig) -> None:
    from .ddr import load_weights

    load_weights(extractor, config)


def _ddr_calibrate(extractor: Any, batches: Iterable[Tensor]) -> None:
    extractor.calibrate(batches)


def _manual(config: ManualConfig) -> nn.Module:
    from .manual import Manual

    return Manual(config)


def _manual_objective(extractor: Any, prompts: Prompts) -> nn.Module:
    from .manual import Guess

    return Guess(extractor, prompts)


def _manual_codes(extractor: Any, prompts: Prompts) -> Tensor:
    codes: Tensor = extractor.encode(prompts)
    return codes


def _weights(config: VggConfig | DdrConfig) -> Sequence[Path]:
    return [] if config.weights is None else [config.weights]


def classic_extractors() -> list[ExtractorSpec[Any]]:
    """Features of a classifier, of a super-resolution network, and labels given with the data set."""
    vgg = ExtractorSpec(
        "vgg",
        "features of VGG-16, pooled, native-resolution centre crop; trained here by naming type and degree",
        VggConfig,
        _vgg,
        _vgg_objective,
        lambda config: config.crop,
        pretrained=_vgg_weights,
        files=_weights,
        trial=VggConfig(layer="relu2_2", crop=64),
    )
    ddr = ExtractorSpec(
        "ddr",
        "deep degradation representation: features of an x4 super-resolution network (SRResNet, ESRGAN), PCA",
        DdrConfig,
        _ddr,
        _ddr_objective,
        lambda config: config.crop,
        inputs=("clean",),
        pretrained=_ddr_weights,
        files=_weights,
        calibrate=_ddr_calibrate,
        trial=DdrConfig(width=16, blocks=2, crop=48, dim=8),
    )
    manual = ExtractorSpec(
        "manual",
        "labels given with the data set; for photos without one, the expected label of a small classifier",
        ManualConfig,
        _manual,
        _manual_objective,
        lambda config: config.crop,
        labelled=_manual_codes,
        trial=ManualConfig(types=4, prompts=6, crop=64, widths=(8, 8)),
    )
    return [vgg, ddr, manual]
