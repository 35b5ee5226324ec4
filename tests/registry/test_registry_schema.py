"""What a record of each kind must hold, and that FORMAT.md says the same."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from unirestorer.core.contracts import Record, RecordKey
from unirestorer.core.errors import RegistryError
from unirestorer.registry.base import ZarrRegistry
from unirestorer.registry.schema import KINDS

Records = dict[RecordKey, Record]


def rows_of(kind: str) -> list[str]:
    """The rows FORMAT.md must have for ``kind``, in order."""
    schema = KINDS[kind]
    arrays = [f"| `{a.name}` | {a.dtype} | ({', '.join(a.dims)}) | {a.presence} |" for a in schema.arrays]
    return arrays + [f"| `{name}` | {wanted} |" for name, wanted in schema.attributes.items()]


def test_format_text_and_schema_say_the_same() -> None:
    text = files("unirestorer.registry").joinpath("FORMAT.md").read_text(encoding="utf-8")
    sections = text.split("## 4. Kinds")[1].split("\n### ")[1:]
    assert [section.splitlines()[0] for section in sections] == list(KINDS)
    for section, kind in zip(sections, KINDS, strict=True):
        assert [line for line in section.splitlines() if line.startswith("| `")] == rows_of(kind)
        assert f"`encoding-type`: `{KINDS[kind].encoding}`." in section


@pytest.mark.parametrize("kind", KINDS)
def test_each_required_attribute_is_missed(registry: ZarrRegistry, records: Records, kind: str) -> None:
    key = next(key for key in records if key[0] == kind)
    for attribute in KINDS[kind].attributes:
        if attribute != "sha256":
            rest = {name: value for name, value in records[key].attributes.items() if name != attribute}
            with pytest.raises(RegistryError, match=f"'{attribute}' is missing"):
                registry.write({key: Record(records[key].arrays, rest)}, message="m", author="a")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].arrays])
def test_each_required_array_is_missed(registry: ZarrRegistry, records: Records, kind: str) -> None:
    key = next(key for key in records if key[0] == kind)
    for spec in KINDS[kind].arrays:
        if spec.presence != "MAY":
            rest = {name: array for name, array in records[key].arrays.items() if name != spec.name}
            with pytest.raises(RegistryError, match=f"'{spec.name}' is missing"):
                registry.write({key: Record(rest, records[key].attributes)}, message="m", author="a")


Change = Callable[[dict[str, Any], dict[str, Any]], Any]
BAD: dict[str, tuple[str, Change, str]] = {
    "dtype": ("hierarchies", lambda a, _: a.update(level=a["level"].astype(np.int64)), "is int64, wanted int32"),
    "rank": ("hierarchies", lambda a, _: a.update(centroid=np.ones(3, np.float32)), "wanted \\(M, D\\)"),
    "extent": ("hierarchies", lambda a, _: a.update(parent=np.zeros(2, np.int32)), "wanted \\(M\\) with M=3"),
    "fixed": ("dr_sets", lambda a, _: a.update(crop=np.zeros((5, 3), np.int32)), "wanted \\(N, 2\\)"),
    "items": ("dr_sets", lambda a, _: a.update({"params/blur/kernel": np.zeros(3)}), "n_s=2"),
    "stranger": ("dr_sets", lambda a, _: a.update({"params/haze/beta": np.zeros(3)}), "no entry of attribute"),
    "nested": ("costs", lambda a, _: a.update({"l1/x": np.zeros(3)}), "lies inside array 'l1'"),
    "path": ("costs", lambda a, _: a.update({"../x": np.zeros(3)}), "bad array name"),
    "text": ("costs", lambda a, _: a.update(x=np.array(["a"])), "wanted a numpy array of numbers"),
    "objects": ("costs", lambda a, _: a.update(x=np.array([None])), "wanted a numpy array of numbers"),
    "type": ("experts", lambda _, b: b.update(steps="many"), "'steps' is 'many', wanted integer"),
    "bool": ("experts", lambda _, b: b.update(steps=True), "wanted integer"),
    "infinite": ("experts", lambda _, b: b.update(metrics={"psnr": float("inf")}), "not strict JSON"),
    "not json": ("experts", lambda _, b: b.update(metrics={"psnr": {1, 2}}), "not strict JSON"),
    "reserved": ("experts", lambda _, b: b.update({"encoding-type": "x"}), "reserved"),
    "sha256": ("experts", lambda _, b: b.update(sha256="0" * 64), "weights have"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_records_are_refused_before_anything_is_written(
    registry: ZarrRegistry, records: Records, case: str
) -> None:
    kind, change, message = BAD[case]
    key = next(key for key in records if key[0] == kind)
    arrays, attributes = dict(records[key].arrays), dict(records[key].attributes)
    change(arrays, attributes)
    with pytest.raises(RegistryError, match=message) as caught:
        registry.write({**records, key: Record(arrays, attributes)}, message="m", author="a")
    assert "\n" not in str(caught.value)
    assert registry.names("stages") == []


def test_numpy_scalars_become_json_numbers(registry: ZarrRegistry, records: Records) -> None:
    key = ("experts", "tiny/0")
    attributes = {**records[key].attributes, "metrics": {"psnr": np.float32(0.5)}, "steps": np.int64(3)}
    registry.write({key: Record(records[key].arrays, attributes)}, message="m", author="a")
    assert registry.attributes(*key)["metrics"] == {"psnr": 0.5}
    assert registry.attributes(*key)["steps"] == 3
