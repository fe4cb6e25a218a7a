from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from asd_edge.frontend.mel import MelConfig
from asd_edge.frontend.windows import FrontEnd
from asd_training.evaluation.examples import EmbeddingSample
from asd_training.report.clip_plots import embedding_map, principal_components, spectrogram
from asd_training.report.plots import to_svg


def test_principal_components() -> None:
    vectors = np.random.default_rng(0).standard_normal((30, 6)) * np.arange(1, 7)
    points, shares = principal_components(vectors)
    centred = vectors - vectors.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(points), np.abs(centred @ axes[:2].T), atol=1e-9)
    np.testing.assert_allclose(shares, values[:2] ** 2 / (values**2).sum())


@pytest.mark.parametrize("shape", [(5, 1), (1, 4), (4, 4)])
def test_principal_components_of_little(shape: tuple[int, int]) -> None:
    points, shares = principal_components(np.ones(shape))
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()
    assert shares.tolist() == [0, 0]
    line = np.arange(5.0)[:, None]
    assert np.ptp(principal_components(line)[0][:, 0]) == pytest.approx(4)


def test_map_shows_kinds_sections_and_views() -> None:
    rng = np.random.default_rng(1)
    sample = EmbeddingSample(
        {"learned": rng.standard_normal((20, 8)), "statistics": rng.standard_normal((20, 128))},
        np.array(["training", "normal", "anomaly", "unknown"] * 5),
        np.array(["00", "07"] * 10),
    )
    svg = to_svg(embedding_map(sample))
    for text in ("training clips (normal)", "anomaly", "unlabelled", ">07<", "statistics"):
        assert text in svg
    assert f"{PCA(2).fit(sample.views['learned']).explained_variance_ratio_[0]:.0%}" in svg


def test_spectrogram_has_its_axes() -> None:
    front_end = FrontEnd(MelConfig(sr=16000, n_fft=1024, hop_length=512, n_mels=64), 2.0)
    rng = np.random.default_rng(0)
    figure = spectrogram(
        rng.standard_normal((64, 63)).astype(np.float32), front_end, start_seconds=4.0
    )
    (ax,) = figure.axes
    left, right, bottom, top = ax.images[0].get_extent()
    hop = 512 / 16000
    assert left == pytest.approx(4 - hop / 2)  # a frame is drawn around its middle
    assert right == pytest.approx(4 + 62.5 * hop)
    assert (bottom, top) == (0, 64)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert {"1000", "4000"} <= set(labels)
    # 1 kHz is 15 of the Slaney mel scale, 8 kHz 45.245.
    band = dict(zip(labels, ax.get_yticks(), strict=True))["1000"]
    # Band i is drawn from i to i + 1.
    assert band == pytest.approx(15 / 45.245 * 65 - 0.5, abs=0.05)
    assert "data:image/png;base64" in to_svg(figure)
