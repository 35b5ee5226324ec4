"""The networks of papers on image restoration, at the sizes at which they were published; free of torch.

A paper gives its number of parameters in millions; the exact number is that of the authors' code at that size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from unirestorer.core import ExpertSpec, Published, SizeRequirement

from .configs import MPRNetConfig, NAFNetConfig, RestormerConfig, RetinexFormerConfig, SwinIRConfig

if TYPE_CHECKING:
    from torch import Tensor, nn


def _nafnet(config: NAFNetConfig) -> nn.Module:
    from .through_spandrel import nafnet

    return nafnet(config)


def _recognise_nafnet(state: Mapping[str, Tensor]) -> NAFNetConfig | None:
    from .through_spandrel import recognise_nafnet

    return recognise_nafnet(state)


def _swinir(config: SwinIRConfig) -> nn.Module:
    from .through_spandrel import swinir

    return swinir(config)


def _recognise_swinir(state: Mapping[str, Tensor]) -> SwinIRConfig | None:
    from .through_spandrel import recognise_swinir

    return recognise_swinir(state)


def _retinexformer(config: RetinexFormerConfig) -> nn.Module:
    from .through_spandrel import retinexformer

    return retinexformer(config)


def _recognise_retinexformer(state: Mapping[str, Tensor]) -> RetinexFormerConfig | None:
    from .through_spandrel import recognise_retinexformer

    return recognise_retinexformer(state)


def _mprnet(config: MPRNetConfig) -> nn.Module:
    from .mprnet import MPRNet

    return MPRNet(config)


def _recognise_mprnet(state: Mapping[str, Tensor]) -> MPRNetConfig | None:
    from .mprnet import recognise

    return recognise(state)


def _restormer(config: RestormerConfig) -> nn.Module:
    from .restormer import Restormer

    return Restormer(config)


def _recognise_restormer(state: Mapping[str, Tensor]) -> RestormerConfig | None:
    from .restormer import recognise

    return recognise(state)


_GOPRO = NAFNetConfig(width=64, enc_blk_nums=(1, 1, 1, 28), middle_blk_num=1, dec_blk_nums=(1, 1, 1, 1))

NAFNET = ExpertSpec(
    "nafnet",
    "U-Net without activation functions, for noise and blur (Chen et al. 2022)",
    NAFNetConfig,
    _nafnet,
    SizeRequirement(16, 16),
    licence="MIT",
    published=(
        Published("SIDD, width 32", NAFNetConfig(), 29_159_715, "29.16 M: the authors, megvii-research/NAFNet#60"),
        Published("SIDD, width 64", NAFNetConfig(width=64), 115_982_915, "115.9 M: megvii-research/NAFNet#51"),
        Published("GoPro, width 64", _GOPRO, 67_888_835, "67.89 M: the authors' code, megvii-research/NAFNet"),
    ),
    recognise=_recognise_nafnet,
    trial=NAFNetConfig(width=8, enc_blk_nums=(1, 1), middle_blk_num=1, dec_blk_nums=(1, 1)),
)

SWINIR = ExpertSpec(
    "swinir",
    "attention in shifted windows at full resolution, for noise and JPEG (Liang et al. 2021)",
    SwinIRConfig,
    _swinir,
    SizeRequirement(8, 8),
    licence="Apache-2.0",
    published=(
        Published(
            "colour denoising",
            SwinIRConfig(),
            11_504_163,
            "the authors' code, JingyunLiang/SwinIR; their paper prints 12.0 M",
        ),
        Published(
            "colour JPEG",
            SwinIRConfig(img_size=126, window_size=7, img_range=255),
            11_492_067,
            "11.5 M: Liang et al., ICCV Workshops 2021, Results on JPEG",
        ),
    ),
    recognise=_recognise_swinir,
    trial=SwinIRConfig(img_size=16, embed_dim=12, depths=(2, 2), num_heads=(2, 3)),
)

RETINEXFORMER = ExpertSpec(
    "retinexformer",
    "attention guided by an estimate of the illumination, for low light (Cai et al. 2023)",
    RetinexFormerConfig,
    _retinexformer,
    SizeRequirement(4, 4),
    licence="MIT",
    published=(Published("one stage", RetinexFormerConfig(), 1_605_701, "1.61 M: Cai et al., ICCV 2023"),),
    recognise=_recognise_retinexformer,
    trial=RetinexFormerConfig(n_feat=8, num_blocks=(1, 1, 1)),
)

MPRNET = ExpertSpec(
    "mprnet",
    "three stages, on quarters, halves and the whole, for rain, blur and noise (Zamir et al. 2021)",
    MPRNetConfig,
    _mprnet,
    SizeRequirement(8, 8),
    licence="Apache-2.0",
    published=(
        Published("deraining", MPRNetConfig(), 3_637_249, "3.637 M: the authors' code, swz30/MPRNet"),
        Published(
            "denoising",
            MPRNetConfig(n_feat=80, scale_unetfeats=48, scale_orsnetfeats=32),
            15_741_025,
            "15.74 M: the authors' code, swz30/MPRNet",
        ),
        Published(
            "deblurring",
            MPRNetConfig(n_feat=96, scale_unetfeats=48, scale_orsnetfeats=32),
            20_127_073,
            "20.1 M: Zamir et al., CVPR 2021, Table 7",
        ),
    ),
    recognise=_recognise_mprnet,
    trial=MPRNetConfig(n_feat=8, scale_unetfeats=4, scale_orsnetfeats=4, num_cab=2),
)

RESTORMER = ExpertSpec(
    "restormer",
    "U-Net with attention between channels, for noise, rain and blur (Zamir et al. 2022)",
    RestormerConfig,
    _restormer,
    SizeRequirement(8, 8),
    licence="Apache-2.0",
    published=(
        Published("rain and blur", RestormerConfig(), 26_126_644, "26.13 M: the authors' code, swz30/Restormer"),
        Published(
            "noise",
            RestormerConfig(layer_norm="BiasFree"),
            26_111_668,
            "26.11 M: the authors' code, swz30/Restormer",
        ),
    ),
    recognise=_recognise_restormer,
    trial=RestormerConfig(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, heads=(1, 1, 2, 2)),
)
