"""Training learns, resumes bit for bit, and refuses what makes no sense."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import invoke, write_tone

from asd_edge.errors import AsdError
from asd_training import presets, run_folder
from asd_training.cli.train import main
from asd_training.learn.train import learning_rate


def train(data: Path, preset: Path, folder: Path, *more: object, status: int = 0) -> str:
    cache = folder.parent / "cache"
    arguments = (data, "--preset", preset, "-o", folder, "--cache", cache, "--device", "cpu", *more)
    return invoke(main, *arguments, status=status).output


def test_the_run_folder(tiny_run: Path) -> None:
    assert sorted(p.name for p in tiny_run.iterdir()) == sorted(
        [
            run_folder.CONFIG,
            run_folder.CHECKPOINT,
            run_folder.METRICS,
            run_folder.CURVES,
            run_folder.EMBEDDINGS,
        ]
    )
    metrics = pd.read_csv(tiny_run / run_folder.METRICS)
    assert metrics["epoch"].tolist() == [1, 2, 3]
    assert metrics["train_loss"].iloc[-1] < metrics["train_loss"].iloc[0]
    assert (tiny_run / run_folder.CURVES).read_bytes().startswith(b"\x89PNG")
    config = run_folder.read_config(tiny_run)
    assert (config.machine, config.preset.name, config.seed) == ("hummer", "tiny", 0)
    embeddings = run_folder.read_embeddings(tiny_run)
    views = embeddings.normals.views
    assert {name: x.shape for name, x in views.items()} == {
        "embedding": (24, 8),
        "statistics": (24, 3 * 32),
    }
    assert embeddings.held_out.sum() == 6


DRAWN = """[loss]
mining = "none"
margin = 0.5
"""
ADACOS = """[loss]
name = "adacos"
subclusters = 3
[augment]
pseudo_classes = ["statistics_exchange", "shift"]
mixup = 0.5
"""


def with_loss(tiny_preset: Path, path: Path, loss: str) -> Path:
    """Write the tiny preset with another loss and a constant rate."""
    text = tiny_preset.read_text().replace("one_cycle", "constant")
    start, end = text.index("[loss]"), text.index("[training]")
    path.write_text(text[:start] + loss + text[end:])
    return path


@pytest.mark.parametrize("loss", [DRAWN, ADACOS], ids=["drawn", "adacos"])
def test_a_run_of_more_epochs_ends_bit_for_bit_as_one_that_had_them_from_the_start(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path, loss: str
) -> None:
    preset = with_loss(tiny_preset, tmp_path / "tiny.toml", loss)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(tiny_data, preset, whole, "--epochs", 4)
    train(tiny_data, preset, parts, "--epochs", 2)
    train(tiny_data, preset, parts, "--epochs", 4, "--resume")
    a, b = run_folder.read_checkpoint(whole), run_folder.read_checkpoint(parts)
    assert a["model"].keys() == b["model"].keys()
    for name in a["model"]:
        assert torch.equal(a["model"][name], b["model"][name]), name
    for name, state in a["optimizer"]["state"].items():
        for key, value in state.items():
            assert torch.equal(value, b["optimizer"]["state"][name][key])
    losses = [[row["train_loss"] for row in state["history"]] for state in (a, b)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4
    np.testing.assert_array_equal(
        run_folder.read_embeddings(whole).normals.views["embedding"],
        run_folder.read_embeddings(parts).normals.views["embedding"],
    )


def test_an_interruption_within_an_epoch_loses_that_epoch_alone(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    save = run_folder.save_checkpoint

    def stop_in_epoch_3(where: Path, state: dict[str, object]) -> None:
        history = state["history"]
        assert isinstance(history, list)
        if len(history) == 3:
            raise KeyboardInterrupt
        save(where, state)

    monkeypatch.setattr(run_folder, "save_checkpoint", stop_in_epoch_3)
    train(tiny_data, tiny_preset, folder, status=130)
    monkeypatch.undo()
    assert len(run_folder.read_checkpoint(folder)["history"]) == 2
    assert not (folder / run_folder.EMBEDDINGS).exists()
    with pytest.raises(AsdError, match="--resume"):
        run_folder.read_embeddings(folder)
    train(tiny_data, tiny_preset, folder, "--resume")
    whole = tmp_path / "whole"
    train(tiny_data, tiny_preset, whole)
    np.testing.assert_array_equal(
        run_folder.read_embeddings(folder).normals.views["embedding"],
        run_folder.read_embeddings(whole).normals.views["embedding"],
    )


def test_seeds_make_runs(tmp_path: Path, tiny_data: Path, tiny_preset: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tiny_data, tiny_preset, tmp_path / name, "--epochs", 1, "--seed", seed)
    a, b, c = (run_folder.read_checkpoint(tmp_path / name)["model"] for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["parts.embedding.linear.weight"], c["parts.embedding.linear.weight"])


def test_a_run_is_not_overwritten_or_mixed(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path, tiny_run: Path
) -> None:
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    before = (folder / run_folder.CHECKPOINT).read_bytes()
    assert "--resume" in train(tiny_data, tiny_preset, folder, status=1)
    output = train(tiny_data, tiny_preset, folder, "--resume", "--seed", 5, status=1)
    assert "another preset, machine, seed" in output
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").touch()
    assert "is not a run" in train(tiny_data, tiny_preset, precious, status=1)
    assert (folder / run_folder.CHECKPOINT).read_bytes() == before


def test_resume_notices_other_clips(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path, tiny_run: Path
) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    write_tone(data / "hummer/train/section_00_source_train_normal_0000_rpm_1000.wav", 99, seed=1)
    output = train(data, tiny_preset, folder, "--resume", "--epochs", 5, status=1)
    assert "other clips" in output


def test_damaged_runs(tmp_path: Path, tiny_run: Path) -> None:
    with pytest.raises(AsdError, match="no such run folder"):
        run_folder.read_config(tmp_path / "none")
    with pytest.raises(AsdError, match=r"has no run\.json"):
        run_folder.read_config(tmp_path)
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    (folder / run_folder.CHECKPOINT).write_bytes(b"junk")
    config = run_folder.read_config(folder)
    with pytest.raises(AsdError, match=r"checkpoint\.pt: is damaged"):
        run_folder.load_model(folder, config)
    values = json.loads((folder / run_folder.CONFIG).read_text())
    values["preset"]["training"]["epochs"] = "many"
    (folder / run_folder.CONFIG).write_text(json.dumps(values))
    with pytest.raises(AsdError, match=r"run\.json: is damaged"):
        run_folder.read_config(folder)


def test_one_section_is_enough_with_pseudo_classes_and_refused_without(
    tmp_path: Path, tiny_preset: Path
) -> None:
    for i in range(6):
        write_tone(tmp_path / f"fan/train/section_00_source_train_normal_{i:04d}.wav", 200, i)
    preset = with_loss(tiny_preset, tmp_path / "tiny.toml", ADACOS)
    assert "6 clips of fan" in train(tmp_path, preset, tmp_path / "one", "--epochs", 1)
    preset = with_loss(tiny_preset, tmp_path / "tiny.toml", DRAWN)
    output = train(tmp_path, preset, tmp_path / "run", status=1)
    assert "one section '00'" in output
    assert "record a second machine" in output
    assert len(output.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_what_asd_train_says_of_bad_input(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path
) -> None:
    folder = tmp_path / "run"
    assert "no such folder" in train(tmp_path / "none", tiny_preset, folder, status=1)
    output = train(tiny_data, tiny_preset, folder, "--machine", "pump", status=1)
    assert "'pump'" in output
    assert "hummer" in output
    output = train(tiny_data, tiny_preset, folder, "--device", "abacus", status=1)
    assert "'abacus'" in output
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    broken = data / "hummer/train/section_00_source_train_normal_0000_rpm_1000.wav"
    broken.write_bytes(b"")
    output = train(data, tiny_preset, folder, status=1)
    assert str(broken) in output
    assert "is empty" in output
    assert not folder.exists()


def test_all_machines_at_once(tmp_path: Path, tiny_data: Path, tiny_preset: Path) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    shutil.copytree(data / "hummer", data / "buzzer")
    runs = tmp_path / "runs"
    output = train(data, tiny_preset, runs, "--machine", "all", "--epochs", 1)
    assert [line.split(":")[0] for line in output.splitlines()] == [
        str(runs / "buzzer"),
        str(runs / "hummer"),
    ]
    assert run_folder.read_config(runs / "buzzer").machine == "buzzer"


def test_a_preset_without_a_network_trains_nothing(tmp_path: Path, tiny_data: Path) -> None:
    folder = tmp_path / "run"
    text = "[front_end]\nclip_seconds = 1.0\n[front_end.mel]\nsr = 8000\nn_fft = 256\n"
    text += "hop_length = 128\nn_mels = 32\n[statistics]\nlags = [1]\n"
    text += "[training]\nepochs = 0\nholdout = 0.0\n"
    text += '[scoring.statistics]\nmetric = "whitened"\n'
    preset = tmp_path / "plain.toml"
    preset.write_text(text)
    assert "24 clips of hummer" in train(tiny_data, preset, folder)
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [run_folder.CONFIG, run_folder.CHECKPOINT, run_folder.EMBEDDINGS]
    )
    assert not run_folder.read_embeddings(folder).held_out.any()
    output = train(tiny_data, preset, tmp_path / "other", "--epochs", 3, status=2)
    assert "trains no network" in output


def test_one_cycle_rises_to_the_peak_and_falls_to_nothing() -> None:
    settings = presets.TrainingConfig(10, 0.2, lr=0.01, schedule="one_cycle")
    rates = [learning_rate(settings, step, 101) for step in range(101)]
    reference = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        reference, 0.01, total_steps=101, cycle_momentum=False, final_div_factor=1e9
    )
    expected = []
    for _ in range(101):
        expected.append(schedule.get_last_lr()[0])
        reference.step()
        if len(expected) < 101:
            schedule.step()
    # PyTorch's peak lies one step before 30 % of the steps.
    np.testing.assert_allclose(rates, expected, atol=0.01 * 0.1)
    assert max(rates) == pytest.approx(0.01)
    assert rates[0] == pytest.approx(0.01 / 25)
    assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_the_presets_fit_their_file_names() -> None:
    assert [presets.load(name).name for name in presets.names()] == presets.names()
