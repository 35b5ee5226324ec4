"""What a folder of exported files says of itself: to programs, and to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import torch

from ..restoring import CENTRE

if TYPE_CHECKING:
    from ..mixture import Mixture

MANIFEST = "manifest.json"
_FORMAT = "unirestorer-onnx"
_VERSION = 1


@dataclass(frozen=True)
class Part:
    """A written file: its name below the folder, sha256 and largest difference from PyTorch when it was checked."""

    file: str
    sha256: str
    difference: float


def described(
    mixture: Mixture, parts: Mapping[str, Part], experts: Sequence[Part | None], reader: str
) -> dict[str, Any]:
    """All that is needed beside the files to restore with them, as JSON. experts: that of each node."""
    tree = mixture.hierarchy
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "made_with": {"unirestorer": _version("unirestorer"), "torch": torch.__version__, "checked_by": reader},
        "images": {
            "layout": "NCHW",
            "channels": "RGB",
            "values": "float32, sRGB values / 255, in [0, 1]",
            "result": "clip to [0, 1]",
        },
        "extractor": {
            **asdict(parts["extractor"]),
            "inputs": {"image": [1, 3, CENTRE, CENTRE]},
            "outputs": {"dr": [1, mixture.extractor.dim]},
            "region": f"the middle {CENTRE} x {CENTRE} pixels, never resized",
        },
        "routers": {
            **asdict(parts["routers"]),
            "inputs": {"dr": ["batch", mixture.extractor.dim], "allowed": [len(tree)]},
            "outputs": {"leaf": ["batch", len(tree.leaves)], "level": ["batch", tree.depth]},
        },
        "tree": {
            "names": list(mixture.node_names),
            "parents": tree.parent.tolist(),
            "levels_of_nodes": tree.level.tolist(),
            "level_names": list(mixture.level_names),
            "leaves": tree.leaves.tolist(),
            "ancestors": tree.ancestors.tolist(),
        },
        "experts": [_expert(mixture, node, part) for node, part in enumerate(experts)],
    }


def _expert(mixture: Mixture, node: int, part: Part | None) -> dict[str, Any]:
    _, record = mixture.expert_record(node)
    expert, licence = mixture.expert(node), mixture.licences[node]
    return {
        "node": node,
        "name": expert.name,
        **(asdict(part) if part else {"file": None}),
        "arch": record.attributes["arch"],
        "config": record.attributes["config"],
        "weights_sha256": record.attributes["sha256"],
        "multiple": expert.size.multiple,
        "minimum": expert.size.minimum,
        "licence": {"code": licence.code, "weights": licence.weights},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def guide(manifest: Mapping[str, Any]) -> str:
    """The README of the folder, for ``manifest``."""
    files = {expert["file"] for expert in manifest["experts"]} - {None}
    worst = max(
        part["difference"]
        for part in (manifest["extractor"], manifest["routers"], *manifest["experts"])
        if "difference" in part
    )
    return _GUIDE.format(count=len(files), side=CENTRE, worst=worst, reader=manifest["made_with"]["checked_by"])


_GUIDE = """\
# A UniRestorer model as ONNX

`extractor.onnx` describes what is wrong with a picture, `routers.onnx` chooses a node of a tree of damages, and the
{count} files in `experts/` restore. `manifest.json` ties them together: the tree, the file of each node, the sizes that
it accepts, sha256 and licences. Every file was compared with PyTorch by {reader}; the largest difference was
{worst:.1e}.

1. Pictures are float32 RGB in [0, 1], shape (1, 3, height, width).
2. Give the middle {side} x {side} pixels, never resized, to the extractor; mirror smaller pictures to that size, which
   is not quite what UniRestorer does with them.
3. Give what it returns to the routers, with a mask over nodes: all true, or only the nodes that may be used.
4. The node is `ancestors[leaf.argmax()][level.argmax()]`, of the levels at which that is an allowed node. Where its
   `file` is null the picture is left as it is.
5. Pad the picture (mirror it to the right and below) to a multiple of `multiple`, at least `minimum`; run the expert,
   cut the result back, clip to [0, 1]. Height, width and batch are free. Cut large pictures into overlapping tiles.

UniRestorer does more around this: it leaves pictures alone that look undamaged, falls back to coarser experts for what
is unlike its training data, and looks for harm in the result.

```python
import json
from pathlib import Path

import numpy as np
import onnxruntime as ort  # or, with OpenVINO: see below
from PIL import Image

manifest = json.loads(Path("manifest.json").read_text())


def load(file):
    return ort.InferenceSession(file, providers=["CPUExecutionProvider"])


def pad(image, height, width):
    missing = ((0, 0), (0, 0), (0, height - image.shape[2]), (0, width - image.shape[3]))
    return np.pad(image, missing, mode="symmetric")


picture = np.asarray(Image.open("photo.jpg").convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 255
height, width = picture.shape[2:]
side = {side}
whole = pad(picture, max(height, side), max(width, side))
top, left = (whole.shape[2] - side) // 2, (whole.shape[3] - side) // 2
(dr,) = load("extractor.onnx").run(None, {{"image": whole[:, :, top : top + side, left : left + side]}})
allowed = np.ones(len(manifest["tree"]["names"]), bool)
leaf, level = load("routers.onnx").run(None, {{"dr": dr, "allowed": allowed}})
above = np.array(manifest["tree"]["ancestors"])[leaf[0].argmax()]
expert = manifest["experts"][above[np.where(allowed[above], level[0], -1).argmax()]]
print(expert["name"])
if expert["file"]:
    multiple, minimum = expert["multiple"], expert["minimum"]
    padded = pad(picture, *(-(-max(n, minimum) // multiple) * multiple for n in (height, width)))
    (made,) = load(expert["file"]).run(None, {{"image": padded}})
    picture = made[:, :, :height, :width]
Image.fromarray((picture[0].clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)).save("restored.png")
```

With OpenVINO `load` is:

```python
import openvino as ov


class load:
    def __init__(self, file):
        self.model = ov.Core().compile_model(file, "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})

    def run(self, _, inputs):
        made = self.model(inputs)
        return [made[port] for port in self.model.outputs]
```
"""
