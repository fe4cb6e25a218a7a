"""The network's shapes, the report's recipe, presets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from asd_edge.errors import MissingFileError
from asd_edge.model import VIEWS
from asd_training import presets
from asd_training.network.cnn import TripletCNN
from asd_training.network.views import Network
from asd_training.presets import Preset, PresetError


def test_the_report_network_is_the_report_s() -> None:
    preset = presets.load("report")
    model = TripletCNN(preset.model, preset.front_end.shape)
    assert model.linear.in_features == 399360
    assert model.linear.out_features == 16
    layers = list(model.blocks)
    assert [type(layer) for layer in layers] == 3 * [
        nn.Conv2d,
        nn.ReLU,
        nn.BatchNorm2d,
        nn.MaxPool2d,
        nn.Dropout2d,
    ]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [256, 256, 256]
    assert [c.kernel_size for c in convolutions] == [(5, 5), (5, 5), (3, 3)]
    assert [c.stride for c in convolutions] == [(2, 2), (2, 2), (1, 1)]
    assert [c.padding for c in convolutions] == [(2, 2), (2, 2), (1, 1)]
    pools = [layer for layer in layers if isinstance(layer, nn.MaxPool2d)]
    assert [(p.kernel_size, p.stride) for p in pools] == [(3, 1), (3, 1), (3, 2)]
    assert {layer.p for layer in layers if isinstance(layer, nn.Dropout2d)} == {0.25}


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_survives_json_and_embeds(name: str) -> None:
    preset = presets.load(name)
    assert Preset.from_dict(preset.to_dict()) == preset
    model = Network(preset).eval()
    assert model.views == tuple(v for v in VIEWS if v in preset.views)
    with torch.inference_mode():
        outputs = model(torch.zeros(1, *preset.front_end.shape))
    expected = []
    if preset.model is not None:
        expected.append((1, preset.model.embedding_dim))
    if preset.statistics is not None:
        lags = len(preset.statistics.lags)
        expected += [(1, preset.front_end.mel.n_mels * (1 + lags)), (1, 16), (1, 16 * lags), (1, 1)]
    assert [tuple(x.shape) for x in outputs] == expected


def test_the_edge_network_is_small() -> None:
    preset = presets.load("edge")
    model = TripletCNN(preset.model, preset.front_end.shape)
    assert sum(p.numel() for p in model.parameters()) * 4 < 1_000_000
    macs = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal macs
        if isinstance(layer, nn.Conv2d):
            kernel = layer.weight.shape
            macs += output[0].numel() * int(np.prod(kernel[1:]))
        elif isinstance(layer, nn.Linear):
            macs += layer.weight.numel()

    for layer in model.modules():
        layer.register_forward_hook(count)
    model.eval()(torch.zeros(1, *preset.front_end.shape))
    assert macs < 60e6


def test_bands_are_normalised_and_constant_ones_left() -> None:
    preset = presets.load("edge")
    shape = preset.front_end.shape
    model = TripletCNN(preset.model, shape)
    rng = np.random.default_rng(0)
    clips = (rng.normal(-60, 7, (5, 1, *shape))).astype(np.float32)
    clips[:, :, 3] = -100
    model.set_normalization(clips)
    expected = clips.astype(np.float64).transpose(2, 0, 1, 3).reshape(shape[0], -1)
    np.testing.assert_allclose(model.mean[:, 0], expected.mean(axis=1), rtol=1e-6)
    std = expected.std(axis=1)
    std[3] = 1
    np.testing.assert_allclose(model.std[:, 0], std, rtol=1e-5)
    # Of a band so steady that only its last digits change, no more is lost than float32 had lost.
    model.std[5] = 0.01
    got = model.normalized(torch.from_numpy(clips[0])).numpy()
    wanted = (clips[0] - model.mean.numpy().astype(np.float64)) / model.std.numpy()
    rounding = 3 * 2.0**-24 * np.abs(clips[0]).max() / model.std.numpy()
    assert (np.abs(got - wanted) <= rounding).all()


def test_an_input_too_small_for_the_blocks() -> None:
    preset = presets.load("report")
    with pytest.raises(PresetError, match="too small"):
        TripletCNN(preset.model, (8, 8))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs = 3", "", "epochs"),
        ("epochs = 3", "epochs = 0", "training.epochs and training.holdout"),
        ("n_fft = 256", "n_fft = 255", "n_fft is 255"),
        ("sr = 8000", "sr = 8000\nfft = 3", "fft"),
        ('metric = "cosine"', 'metric = "l3"', "metric is 'l3'"),
        ("k = 2", "k = 0", "k is 0"),
        ('references = "all"', 'references = "best-3"', "references is 'best-3'"),
        ("[scoring.statistics]", "[scoring.energy]", "wants"),
        ('mining = "all"', 'mining = "none"', "augment.pseudo_classes need another loss.mining"),
        ('"shift"]', '"shift"]\nmixup = 0.5', "augment.mixup needs loss.name"),
        ("holdout = 0.25", "holdout = 0.0", "above 0 to train"),
        ("lags = [1, 2]", "lags = [2, 1]", "lags is"),
        ("kernel = [3, 3]", "kernel = [3]", "one a block"),
        (
            "[scoring.statistics]",
            "[scoring.statistics]\nparts = { a = [0, 96], b = [32, 97] }",
            "statistics.parts.b ends at column 97, and the view has 96; change",
        ),
        ("[model]", "[network]", "unknown table .network.; there are augment, front_end"),
        ("epochs = 3", 'epochs = "many"', "training. epochs is 'many'; expected int"),
        ("lr = 3e-3", "lr_max = 3e-3", "training. has no 'lr_max'; it has: batch_size"),
        ("weight = 0.5", "wieght = 0.5", "scoring.embedding. has no 'wieght'; it has:"),
        ("[training]", '[training]\nkeep = "first"', "keep is 'first'"),
        ("[model]", "[model", "not TOML"),
    ],
)
def test_a_senseless_preset_is_refused(
    tmp_path: Path, tiny_preset: Path, old: str, new: str, message: str
) -> None:
    text = tiny_preset.read_text()
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(PresetError, match="preset wrong: .*" + message):
        presets.load(str(path))


def test_unknown_presets() -> None:
    with pytest.raises(PresetError, match="adacos, edge, report"):
        presets.load("best")
    with pytest.raises(MissingFileError):
        presets.load("none.toml")


def test_normalization_works_where_pytorch_refuses_eps_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PyTorch 2.11 does; what is given instead must not change a bit."""
    preset = presets.load("edge")
    assert preset.model is not None
    model = TripletCNN(preset.model, preset.front_end.shape).eval()
    rng = np.random.default_rng(0)
    clips = rng.normal(-40, 10, (4, 1, *preset.front_end.shape)).astype(np.float32)
    model.set_normalization(clips)
    mel = torch.from_numpy(clips[:, 0])
    original = nn.functional.batch_norm
    exact = original(mel, model.mean.flatten(), model.std.flatten().square(), eps=0.0)

    def refusing(*arguments: object, eps: float, **named: object) -> torch.Tensor:
        if eps <= 0:
            raise ValueError(f"batch_norm eps must be positive, but got {eps}")
        return original(*arguments, eps=eps, **named)

    monkeypatch.setattr(nn.functional, "batch_norm", refusing)
    assert torch.equal(model.normalized(mel), exact)


def test_a_recipe_on_a_base_and_single_changes(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "edge"\n[training]\nlr = 1e-4\n[scoring.statistics]\nk = 2\n')
    edge, mine = (
        presets.load("edge"),
        presets.load(str(path), ["training.epochs=7", "loss.name=adacos"]),
    )
    assert (mine.name, mine.training.lr, mine.training.epochs) == ("mine", 1e-4, 7)
    assert mine.training.batch_size == edge.training.batch_size
    assert mine.views["statistics"].scoring.k == 2
    assert mine.views["statistics"].references == "kmeans-16"
    second = tmp_path / "second.toml"
    second.write_text('base = "mine.toml"\n[training]\nepochs = 9\n')
    assert presets.load(str(second)).training.lr == 1e-4
    path.write_text('base = "second.toml"\n')
    with pytest.raises(PresetError, match="its own base"):
        presets.load(str(path))
    for change in ("training=1", "lr", "=3"):
        with pytest.raises(PresetError, match=r"TABLE\.KEY=VALUE"):
            presets.load("edge", [change])
