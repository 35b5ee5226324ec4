"""A sweep over an extractor and a clusterer that come from a third party's distribution, next to built-in ones."""

from __future__ import annotations

from pathlib import Path

from ..core.tiny_world import RECIPE, make_photos
from .conftest import Site

SOURCE = """
from pydantic import PositiveInt

class WardConfig(Config):
    leaves: PositiveInt = 4

def statistics(config):
    import torch

    class Statistics(torch.nn.Module):
        dim = 9

        def forward(self, images):
            x = torch.nn.functional.pad(images, (0, 1, 0, 1), mode="replicate")
            steps = [(x[..., 1:, :-1] - images).abs(), (x[..., :-1, 1:] - images).abs()]
            return torch.cat([images.mean((2, 3)), *(step.mean((2, 3)) for step in steps)], dim=1)

    return Statistics()

def ward(config):
    import numpy as np
    from sklearn.cluster import AgglomerativeClustering
    from unirestorer.core.hierarchy import Hierarchy, normalised

    class Ward:
        def fit(self, dr):
            points = normalised(dr)
            label = AgglomerativeClustering(config.leaves).fit(points).labels_.astype(np.int32)
            means = [points.mean(0)] + [points[label == leaf].mean(0) for leaf in range(config.leaves)]
            self.hierarchy_ = Hierarchy(
                parent=np.array([-1] + [0] * config.leaves, np.int32),
                level=np.array([0] + [1] * config.leaves, np.int32),
                centroid=np.array(means, np.float32),
                assign=np.stack([np.zeros_like(label), label + 1], axis=1),
            )
            return self

    return Ward()

@hookimpl
def register_extractors():
    return [ExtractorSpec("statistics", "moments of colours and steps", Empty, statistics)]

@hookimpl
def register_clusterers():
    return [ClustererSpec("ward", "agglomerative, two levels", WardConfig, ward)]
"""
SWEEP = """
name: plugins
recipe: micro.yaml
axes:
  extractor: {compact: , statistics: {extractor: {name: statistics}}}
  clusterer: {kmeans: , ward: {cluster: {name: ward}}}
"""


def test_plugins_of_two_kinds_are_swapped_in_one_sweep(site: Site, tmp_path: Path) -> None:
    site.install("acme", SOURCE)
    photos = make_photos(tmp_path / "photos")
    (tmp_path / "micro.yaml").write_text(RECIPE)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    arguments = ["ablate", "sweep.yaml", "--data", str(photos), "--out", "out"]
    start = f"import os, warnings; os.chdir({str(tmp_path)!r}); warnings.simplefilter('default')"
    done = site.run(f"{start}\nfrom unirestorer.cli.app import main; main({arguments!r})")
    assert done.returncode == 0, done.stderr
    lines = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith(("| compact", "| statistics"))]
    assert [line[2] for line in lines] == ["1-3-4", "1-4"] * 2
    assert [line[-2] for line in lines] == [
        "-",
        "3 of compact+kmeans",
        "1 of compact+kmeans",
        "3 of statistics+kmeans",
    ]
    refused = site.run(
        f"{start}\nfrom unirestorer.cli.app import main; main({arguments!r})", UNIRESTORER_DISABLE_PLUGINS="acme"
    )
    assert refused.returncode == 2
    assert "sweep.yaml:5: extractor.name: unknown extractor 'statistics'" in refused.stderr
    assert "sweep.yaml:6: cluster.name: unknown clusterer 'ward'" in refused.stderr
