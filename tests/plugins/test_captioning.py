"""BLIP for real, tiny and with random weights; needs the extra ``captions``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.commands import run
from unirestorer.core.captions import read_captions, read_rows
from unirestorer.core.errors import ConfigError
from unirestorer.core.vision import prepare_torchvision
from unirestorer.plugins.captioning import Captioner

prepare_torchvision()
transformers = pytest.importorskip("transformers", reason="captions are an extra: pip install unirestorer[captions]")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "photo", "of", "the", "sea", "house", "tree", "and", "sky"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blip")
    (folder / "words.txt").write_text("\n".join(WORDS), encoding="utf-8")
    tokenizer = transformers.BertTokenizer(str(folder / "words.txt"))
    size = {"height": 32, "width": 32}
    pictures = transformers.BlipImageProcessor(size=size)
    transformers.BlipProcessor(pictures, tokenizer).save_pretrained(folder)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BlipConfig(
        text_config=small
        | {
            "vocab_size": len(WORDS) + 2,
            "encoder_hidden_size": 32,
            "bos_token_id": 2,
            "sep_token_id": 3,
            "eos_token_id": 3,
            "pad_token_id": 0,
        },
        vision_config=small | {"image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = transformers.BlipForConditionalGeneration(config)
        teach(network, transformers.BlipProcessor(pictures, tokenizer))
    network.save_pretrained(folder)
    return folder


def shade(value: int) -> np.ndarray:
    return np.full((40, 30, 3), value, dtype=np.uint8)


def teach(network: torch.nn.Module, processor: Callable[..., Mapping[str, torch.Tensor]]) -> None:
    """Dark pictures show a house, bright ones the sea."""
    inputs = processor(images=[shade(20), shade(230)], text=["a house", "the sea"], return_tensors="pt")
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        network(**inputs, labels=inputs["input_ids"]).loss.backward()
        optimizer.step()


def photos(folder: Path, count: int) -> Path:
    draw = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"day {number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (30 + number, 40, 3), dtype=np.uint8)).save(path)
    return folder


def test_captions_say_what_the_model_learned(model: Path) -> None:
    captioner = Captioner(model)
    assert captioner([shade(230), shade(20), shade(235)]) == ["the sea", "a house", "the sea"]


def test_the_command_captions_what_has_no_caption_yet(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = photos(tmp_path / "photos", 5), tmp_path / "captions.tsv"
    out.write_text("day 0/2.png\tby hand\n", encoding="utf-8")
    assert run("captions", folder, "-o", out, "--model", model) == 0
    names = [f"day {number % 2}/{number}.png" for number in range(5)]
    captions = read_captions(out, names)
    assert captions[2] == "by hand"
    assert all(captions)
    assert "4 of 5 photos captioned" in capsys.readouterr().out
    before = out.stat()
    assert run("captions", folder, "-o", out, "--model", "not/needed") == 0
    assert out.stat() == before
    assert next(iter(read_rows(out))) == "day 0/2.png"


def test_a_model_that_is_not_here_is_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"nobody/nothing: not on this machine; add --download"):
        Captioner("nobody/nothing")


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="a model of type 'bert', wanted BLIP"):
        Captioner(tmp_path)


def test_a_model_without_all_its_weights_is_refused(model: Path, tmp_path: Path) -> None:
    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    state = load_file(tmp_path / "model.safetensors")
    state.pop("vision_model.post_layernorm.weight")
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"no weights for 'vision_model.post_layernorm.weight'"):
        Captioner(tmp_path)
