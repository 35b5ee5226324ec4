"""How the samples of a new damage become nodes: by the clusterer of the model's record, or one that is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unirestorer.api import embedded_model
from unirestorer.core.contracts import Labels, Prompts
from unirestorer.core.errors import ConfigError
from unirestorer.core.extending.bench import Bench
from unirestorer.core.extending.degradation import default_cluster, fit_branch
from unirestorer.core.extending.options import ExtensionRecipe
from unirestorer.core.extending.trained import Trained
from unirestorer.core.hierarchy import normalised
from unirestorer.core.photos import load_photos
from unirestorer.core.recipe import ClusterConfig
from unirestorer.plugins.clusterers.configs import KMeansConfig
from unirestorer.plugins.clusterers.topdown import TopDownKMeans
from unirestorer.plugins.manager import load_catalogue
from unirestorer.registry import import_zip, open_registry

from .tiny_world import make_photos

DR = (
    np.repeat(np.eye(8, dtype=np.float32)[:3], 20, axis=0) + 0.1 * np.random.default_rng(0).normal(size=(60, 8))
).astype(np.float32)
LABELS = Labels(np.repeat([0, 1, 1], 20), Prompts(("fog",), (("fog", "thin"), ("fog", "thick"))))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The embedded model, whose record says ``kmeans`` and means what is called ``kmeans-topdown`` since."""
    path = tmp_path_factory.mktemp("embedded") / "registry"
    import_zip(embedded_model(), path)
    return Trained.load(open_registry(path), load_catalogue())


def bench(trained: Trained, folder: Path, cluster: ClusterConfig | None = None) -> Bench:
    photos = load_photos(make_photos(folder / "photos"), 48)
    return Bench(trained, photos, folder, ExtensionRecipe(cluster=cluster), lambda task, done, total, note: None)


def test_the_embedded_model_is_extended_as_before(trained: Trained, tmp_path: Path) -> None:
    assert trained.recipe.cluster.name == "kmeans"
    branch = fit_branch(bench(trained, tmp_path), DR, LABELS, 3)
    before = TopDownKMeans(KMeansConfig(sizes=(1, 3))).fit(DR).hierarchy_
    assert branch.sizes == (1, 3)
    assert np.array_equal(branch.assign, before.assign)
    assert np.allclose(branch.centroid, before.centroid, atol=1e-6)


def test_an_extension_recipe_may_name_a_clusterer_that_is_shown_labels(trained: Trained, tmp_path: Path) -> None:
    branch = fit_branch(bench(trained, tmp_path, ClusterConfig(name="manual")), DR, LABELS, 2)
    assert branch.sizes == (1, 2)
    assert np.bincount(branch.assign[:, 1]).tolist() == [0, 20, 40]
    assert np.allclose(branch.centroid[1], normalised(DR[:20]).mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("name", ["auto", "hdbscan", "manual"])
def test_a_clusterer_without_sizes_has_to_be_told_how(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' has no field 'sizes'; say how to cluster in an extension recipe"):
        default_cluster(load_catalogue(), ClusterConfig(name=name), 2)
