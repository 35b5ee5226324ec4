"""``daclip``: the controlled forward pass, what is trained, and weights under their published names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import normalize

from tests.plugins.daclip_equations import control_pass, controlled_pass
from unirestorer.core import Prompts
from unirestorer.core.errors import ConfigError, UnknownNameError
from unirestorer.core.models import extractor_record
from unirestorer.core.training.loop import seeded
from unirestorer.plugins.extractors import register_extractors
from unirestorer.plugins.extractors.configs import DaClipConfig, TowerConfig
from unirestorer.plugins.extractors.daclip import DaClip, controlled, resized_centre
from unirestorer.plugins.extractors.daclip_losses import DaClipObjective, info_nce
from unirestorer.plugins.extractors.daclip_weights import published_file
from unirestorer.plugins.extractors.towers import build_clip, embed_texts, settings

TOWER = TowerConfig(
    embed_dim=16,
    vision_cfg={"image_size": 32, "patch_size": 8, "width": 24, "head_width": 12, "layers": 3},
    text_cfg={"width": 16, "heads": 2, "layers": 1},
)
CONFIG = DaClipConfig(tower=TOWER)
SPEC: Any = next(spec for spec in register_extractors() if spec.name == "daclip")
PAIRS = (("noise", "small"), ("noise", "large"), ("haze", "thick"))
PROMPTS = Prompts(("noise", "haze"), PAIRS)
CAPTIONED = Prompts(("noise", "haze"), PAIRS, ("the sea", "a house", "the sea"))


def objective(prompts: Prompts = CAPTIONED, config: DaClipConfig = CONFIG) -> Any:
    """Untrained, but its links are no longer at zero."""
    made = seeded(lambda: DaClipObjective(DaClip(config), prompts), 0)
    draw = torch.Generator().manual_seed(1)
    for parameter in made.visual_control.transformer.zero_modules.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=draw)
    return made


def images(count: int = 3, height: int = 32, width: int = 32) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(2))


def loss_of(made: Any) -> Any:
    return made(images(), torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))


def test_both_embeddings_are_those_of_the_equations() -> None:
    made = objective()
    prepared = made.prepare(images())
    with torch.no_grad():
        content, degradation = controlled(made.visual_control, made.visual, prepared)
    state = made.state_dict()
    wanted, signals = control_pass(prepared, state, heads=2)
    torch.testing.assert_close(degradation, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(content, controlled_pass(prepared, state, signals[::-1], heads=2), rtol=1e-5, atol=1e-5)
    unturned = controlled_pass(prepared, state, signals, heads=2)
    assert (content - unturned).abs().max() > 1e-2


def test_a_new_controller_changes_nothing() -> None:
    made: Any = seeded(lambda: DaClipObjective(DaClip(CONFIG), PROMPTS), 0)
    prepared = made.prepare(images())
    with torch.no_grad():
        content, degradation = controlled(made.visual_control, made.visual, prepared)
    torch.testing.assert_close(content, made.visual(prepared))
    torch.testing.assert_close(degradation, content)


def test_the_frozen_tower_is_controlled_only_while_asked() -> None:
    made = objective()
    prepared = made.prepare(images())
    alone = made.visual(prepared)
    content, _ = controlled(made.visual_control, made.visual, prepared)
    assert not torch.allclose(content, alone, atol=1e-2)
    assert torch.equal(made.visual(prepared), alone)


@pytest.mark.parametrize("size", [(60, 100), (100, 60), (33, 65), (20, 20), (224, 300)])
def test_images_are_resized_and_cropped_as_by_open_clip(size: tuple[int, int]) -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    smooth = np.asarray(Image.fromarray((images(1, 8, 8)[0, 0] * 255).byte().numpy()).resize(size[::-1]))
    photo = np.stack([smooth, smooth[::-1], 255 - smooth], axis=2)
    wanted = Compose([Resize(32, InterpolationMode.BICUBIC), CenterCrop(32)])(Image.fromarray(photo))
    got = resized_centre(torch.from_numpy(photo.copy()).permute(2, 0, 1)[None] / 255, 32)[0]
    assert got.shape == (3, 32, 32)
    assert (got.permute(1, 2, 0) * 255 - torch.from_numpy(np.array(wanted))).abs().max() < 2


def test_very_long_images_cost_no_more_than_their_middle() -> None:
    strip = torch.zeros(1, 3, 1, 200_000)
    strip[..., 99_990:100_010] = 1
    assert resized_centre(strip, 224).shape == (1, 3, 224, 224)
    assert resized_centre(strip, 224).min() > 0.9


def test_a_dr_is_the_raw_embedding_of_the_controller() -> None:
    made = objective(PROMPTS)
    extractor = seeded(lambda: DaClip(CONFIG), 0).eval()
    extractor.visual_control.load_state_dict(made.visual_control.state_dict())
    dr = extractor(images())
    torch.testing.assert_close(dr, control_pass(made.prepare(images()), made.state_dict(), heads=2)[0])
    assert not torch.allclose(dr, normalize(dr, dim=1))


def test_only_the_controller_and_the_temperature_are_trained() -> None:
    made = objective()
    loss_of(made).backward()
    trained = {name for name, parameter in made.named_parameters() if parameter.grad is not None}
    assert trained == {name for name in dict(made.named_parameters()) if name.startswith(("visual_control.", "logit_"))}


def test_without_captions_the_links_stay_at_zero() -> None:
    made = objective(PROMPTS)
    loss_of(made).backward()
    links = list(made.visual_control.transformer.zero_modules.parameters())
    assert not any(link.requires_grad or link.grad is not None for link in links)


def test_the_loss_is_the_sum_of_two_symmetric_contrasts() -> None:
    made = objective()
    total = 0.0
    with torch.no_grad():
        content, degradation = controlled(made.visual_control, made.visual, made.prepare(images()))
        for image, words in ((degradation, ["noisy", "noisy", "hazy"]), (content, ["the sea", "a house", "the sea"])):
            text = embed_texts(made.clip, words)
            logits = normalize(image, dim=1) @ text.T / 0.07
            total -= float(logits.log_softmax(1).diagonal().mean() + logits.log_softmax(0).diagonal().mean()) / 2
    assert float(loss_of(made).detach()) == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize(("before", "after"), [(-3.0, 1.0), (2.0, np.exp(2.0)), (7.0, 100.0)])
def test_the_temperature_stays_within_bounds(before: float, after: float) -> None:
    made = objective()
    made.logit_scale.data.fill_(before)
    loss_of(made)
    assert float(made.logit_scale.detach().exp()) == pytest.approx(after, rel=1e-5)


def test_equal_texts_keep_the_original_loss_above_a_floor() -> None:
    classes = torch.arange(8).repeat(4)
    perfect = torch.eye(8)[classes]
    floor = float(info_nce(perfect, perfect, torch.tensor(100.0)))
    assert floor == pytest.approx(np.log(4), abs=1e-3)


# Weights


def stored(folder: Path, state: dict[str, Tensor], *, wrapped: bool = True) -> str:
    """A file as DA-CLIP's training writes it, or a plain one."""
    if not wrapped:
        path = folder / "clip.safetensors"
        save_file({name: tensor.clone() for name, tensor in state.items()}, path)
        return str(path)
    path = folder / "daclip.pt"
    named = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"epoch": 30, "name": "daclip", "state_dict": named, "optimizer": {"state": {}}}, path)
    return str(path)


def loaded(pretrained: str) -> DaClip:
    config = DaClipConfig(tower=TOWER, pretrained=pretrained)
    extractor: DaClip = seeded(lambda: SPEC.build(config), 7)
    SPEC.pretrained(extractor, config)
    return extractor.eval()


def test_published_weights_are_read_by_name(tmp_path: Path) -> None:
    made = objective()
    wanted = control_pass(made.prepare(images()), made.state_dict(), heads=2)[0]
    extractor = loaded(stored(tmp_path, made.state_dict()))
    torch.testing.assert_close(extractor(images()), wanted, rtol=1e-5, atol=1e-5)
    again = DaClipObjective(extractor, CAPTIONED)
    assert torch.equal(loss_of(again), loss_of(made))
    assert all(torch.equal(tensor, made.state_dict()[name]) for name, tensor in again.state_dict().items())


def test_the_state_dict_has_the_published_names() -> None:
    names = set(objective().state_dict())
    block = {f"{part}.{kind}" for part in ("ln_1", "ln_2") for kind in ("weight", "bias")}
    block |= {f"{part}.{kind}" for part in ("attn.out_proj", "mlp.c_fc", "mlp.c_proj") for kind in ("weight", "bias")}
    block |= {"attn.in_proj_weight", "attn.in_proj_bias"}
    around = {"class_embedding", "positional_embedding", "proj", "conv1.weight"}
    around |= {f"{part}.{kind}" for part in ("ln_pre", "ln_post") for kind in ("weight", "bias")}
    tower = around | {f"transformer.resblocks.{number}.{name}" for number in range(3) for name in block}
    control = around | {f"transformer.transformer.resblocks.{number}.{name}" for number in range(3) for name in block}
    control |= {f"transformer.zero_modules.{number}.{kind}" for number in range(3) for kind in ("weight", "bias")}
    text = {f"transformer.resblocks.0.{name}" for name in block} | {"token_embedding.weight", "positional_embedding"}
    text |= {"ln_final.weight", "ln_final.bias", "text_projection", "logit_scale"}
    clip = {f"clip.{name}" for name in text} | {f"clip.visual.{name}" for name in tower}
    wanted = clip | {f"visual.{name}" for name in tower} | {f"visual_control.{name}" for name in control}
    assert names == wanted | {"logit_scale"}


def test_of_a_clip_the_controller_becomes_a_copy(tmp_path: Path) -> None:
    clip: Any = seeded(lambda: build_clip(TOWER), 3)
    clip.logit_scale.data.fill_(4.0)
    extractor = loaded(stored(tmp_path, clip.state_dict(), wrapped=False))
    torch.testing.assert_close(extractor(images()), clip.visual(extractor.prepare(images())))
    assert not any(link.any() for link in extractor.visual_control.transformer.zero_modules.parameters())
    assert float(extractor.logit_scale.detach()) == 4.0
    kept: Any = DaClipObjective(extractor, PROMPTS).clip
    assert torch.equal(kept.token_embedding.weight, clip.token_embedding.weight)


def test_an_extractor_keeps_the_controller_alone(tmp_path: Path) -> None:
    extractor = loaded(stored(tmp_path, objective().state_dict()))
    assert all(name.startswith("visual_control.") or name == "logit_scale" for name in extractor.state_dict())
    assert not any(isinstance(part, nn.Embedding) for part in extractor.modules())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("visual_control.transformer.zero_modules.1.bias"),
            "no parameter '.*zero_modules.1.bi",
        ),
        (lambda state: state.pop("clip.ln_final.weight"), "no parameter 'clip.ln_final.weight'"),
        (lambda state: state.update({"visual_control.extra": torch.zeros(1)}), "unknown parameter 'visual_control.ex"),
        (
            lambda state: state.update({"clip.visual.proj": torch.zeros(3, 4)}),
            r"'clip.visual.proj' is \(3, 4\), wanted \(",
        ),
    ],
)
def test_the_first_parameter_that_does_not_fit_is_named(change: Any, message: str, tmp_path: Path) -> None:
    state = objective().state_dict()
    change(state)
    with pytest.raises(ConfigError, match=message) as failure:
        loaded(stored(tmp_path, state))
    assert len(str(failure.value).splitlines()) == 1


def test_parameters_of_a_clip_are_named_as_in_its_file(tmp_path: Path) -> None:
    state = build_clip(TOWER).state_dict()
    state.pop("visual.proj")
    with pytest.raises(ConfigError, match=r"no parameter 'visual\.proj'"):
        loaded(stored(tmp_path, state, wrapped=False))


def test_the_result_depends_on_the_file_of_weights(tmp_path: Path) -> None:
    assert SPEC.files(DaClipConfig(pretrained=str(tmp_path / "w.pt"))) == [tmp_path / "w.pt"]
    assert SPEC.files(DaClipConfig(pretrained="laion2b_s34b_b79k")) == []
    assert SPEC.files(DaClipConfig()) == []


def test_published_weights_are_looked_for_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    config = DaClipConfig(pretrained="laion2b_s34b_b79k")
    with pytest.raises(
        ConfigError, match=r"CLIP-ViT-B-32-laion2B-s34B-b79K: not on this machine; set .*download: true"
    ):
        published_file(config)
    repository = tmp_path / "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K"
    file = repository / "snapshots" / "0a" / "open_clip_pytorch_model.bin"
    file.parent.mkdir(parents=True)
    file.touch()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0a", encoding="utf-8")
    assert published_file(config) == file


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pretrained": "laion2b"}, "unknown weights of ViT-B-32 'laion2b'; did you mean 'laion2b_e16'"),
        ({"pretrained": "openai"}, "another activation than ViT-B-32; set extractor.config.tower: ViT-B-32-quickgelu"),
        ({"tower": "ViT-L-14", "pretrained": "laion2b_s32b_b82k"}, r"config.mean: got .*, wanted \(0.5, 0.5, 0.5\)"),
        ({"tower": TOWER, "pretrained": "openai"}, "'openai' is no file, and a tower of one's own has no published"),
    ],
)
def test_published_weights_that_do_not_go_with_the_rest_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        published_file(DaClipConfig(**fields))


# Towers


@pytest.mark.parametrize(
    ("tower", "message"),
    [
        ("RN50", "tower RN50: a residual network; wanted a vision transformer of open_clip"),
        ("ViT-B-16-SigLIP", "a timm vision tower"),
        ("roberta-ViT-B-32", "a Hugging Face text tower"),
        ("coca_ViT-B-32", "a captioning model"),
        ("ViT-B-31", "unknown tower 'ViT-B-31'; did you mean 'ViT-B-3?2"),
        (TowerConfig(embed_dim=8, vision_cfg={"depth": 3}, text_cfg={}), "open_clip cannot build it: .*'depth'"),
        (TowerConfig(embed_dim=8, vision_cfg={"width": 32}, text_cfg={}), "open_clip cannot build it"),
        (TowerConfig(embed_dim=8, vision_cfg={"image_size": [8, 9]}, text_cfg={}), "not square"),
        (TowerConfig(embed_dim=8, vision_cfg={"image_size": 8}, text_cfg={}), "patches of 16 pixels in images of 8"),
        (TowerConfig(embed_dim=8, vision_cfg={"pool_type": "none"}, text_cfg={}), "no pooled embedding"),
        (TowerConfig(embed_dim=8, vision_cfg={}, text_cfg={"vocab_size": 9}), "a vocabulary of 9 words"),
    ],
)
def test_towers_that_cannot_be_controlled_are_refused(tower: str | TowerConfig, message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message), torch.device("meta"):
        DaClip(DaClipConfig(tower=tower))


def test_parameters_at_the_published_size() -> None:
    with torch.device("meta"):
        extractor, clip = DaClip(DaClipConfig()), build_clip("ViT-B-32")
    links = sum(p.numel() for p in extractor.visual_control.transformer.zero_modules.parameters())
    controller = sum(p.numel() for p in extractor.visual_control.parameters())
    assert links == 12 * (768 * 768 + 768)
    assert controller == 87_849_216 + links == 94_936_320
    assert sum(p.numel() for p in clip.parameters()) == 151_277_313
    assert extractor.dim == settings("ViT-B-32")["embed_dim"] == 512


def test_the_fingerprint_covers_weights_and_preprocessing() -> None:
    def fingerprint(config: DaClipConfig, seed: int) -> str:
        extractor = seeded(lambda: DaClip(config), seed)
        record = extractor_record(extractor, "daclip", config.model_dump(mode="json"), "stamp")
        return str(record.attributes["fingerprint"])

    first = fingerprint(CONFIG, 0)
    assert fingerprint(CONFIG, 0) == first
    assert fingerprint(CONFIG, 1) != first
    assert fingerprint(DaClipConfig(tower=TOWER, mean=(0.5, 0.5, 0.5)), 0) != first
