"""Training learns, resumes bit for bit, and refuses what makes no sense."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from helpers import invoke, write_tone

from asd_edge.errors import AsdError
from asd_training import presets, run_folder
from asd_training.cli.train import main
from asd_training.data.feature_table import FeatureTable
from asd_training.learn import train as learn
from asd_training.learn.objective import ClassificationObjective
from asd_training.learn.train import learning_rate
from asd_training.preset_tables import TrainingConfig


def train(data: Path, preset: Path, folder: Path, *more: object, status: int = 0) -> str:
    cache = folder.parent / "cache"
    arguments = (data, "--preset", preset, "-o", folder, "--cache", cache, "--device", "cpu", *more)
    return invoke(main, *arguments, status=status).output


@pytest.fixture
def statistics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preset without a network, for tests of what happens around the training."""
    text = "[front_end]\nclip_seconds = 1.0\n[front_end.mel]\nsr = 8000\nn_fft = 256\n"
    text += "hop_length = 128\nn_mels = 32\n[statistics]\nlags = [1]\n"
    text += "[training]\nepochs = 0\nholdout = 0.0\n"
    text += '[scoring.statistics]\nmetric = "whitened"\n'
    path = tmp_path_factory.mktemp("preset") / "plain.toml"
    path.write_text(text)
    return path


def test_the_run_folder(tiny_run: Path) -> None:
    assert sorted(p.name for p in tiny_run.iterdir()) == sorted(
        [
            run_folder.CONFIG,
            run_folder.CHECKPOINT,
            run_folder.METRICS,
            run_folder.EMBEDDINGS,
        ]
    )
    metrics = pd.read_csv(tiny_run / run_folder.METRICS, dtype=str).astype(float)
    assert run_folder.read_metrics(tiny_run) == metrics.to_dict("records")
    assert metrics["epoch"].tolist() == [1, 2, 3]
    assert metrics["train_loss"].iloc[-1] < metrics["train_loss"].iloc[0]
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
    assert "Interrupted; --resume goes on" in train(tiny_data, tiny_preset, folder, status=130)
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


def test_a_gpu_is_asked_for_results_that_repeat(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    run = learn._Loop.run

    def watched(*arguments: Any) -> Any:
        asked.append(torch.backends.cudnn.deterministic)
        return run(*arguments)

    monkeypatch.setattr(learn._Loop, "run", watched)
    train(tiny_data, tiny_preset, tmp_path / "run", "--epochs", 1)
    assert (asked, torch.backends.cudnn.deterministic) == ([True], False)


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
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    output = train(data, tiny_preset, folder, "--resume", "--epochs", 5, status=1)
    assert "other clips" in output
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_resume_notices_other_clips_where_nothing_is_learned(
    tmp_path: Path, tiny_data: Path, statistics: Path
) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    folder = tmp_path / "run"
    train(data, statistics, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_tone(data / "hummer/train/section_00_source_train_normal_0000_rpm_1000.wav", 99, seed=1)
    assert "other clips" in train(data, statistics, folder, "--resume", status=1)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_resumption_with_other_epochs_is_recorded(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path, tiny_run: Path
) -> None:
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    train(tiny_data, tiny_preset, folder, "--resume")
    config = run_folder.read_config(folder)
    assert config.resumed == ()  # nothing is different
    assert config.trained_on == {
        "processor": platform.machine(),
        "device": "cpu",
        "precision": "float32",
    }
    train(tiny_data, tiny_preset, folder, "--epochs", 4, "--resume")
    (entry,) = run_folder.read_config(folder).resumed
    assert (entry["after_epoch"], entry["epochs"]) == (3, 4)
    assert run_folder.read_config(folder).preset.training.epochs == 4
    values = json.loads((folder / run_folder.CONFIG).read_text())
    del values["trained_on"]  # a run of before
    values["resumed"] = [{**entry, "trained_on": {**entry["trained_on"], "processor": "pdp11"}}]
    run_folder.write_json(folder / run_folder.CONFIG, values)
    train(tiny_data, tiny_preset, folder, "--epochs", 4, "--resume")
    entries = run_folder.read_config(folder).resumed
    assert [entry["trained_on"]["processor"] for entry in entries] == ["pdp11", platform.machine()]


def test_training_stops_at_the_first_loss_that_is_not_finite(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = learn.learning_rate

    def explode(settings: TrainingConfig, step: int, steps: int) -> float:
        return rate(settings, step, steps) if step < 2 * steps / 3 else 1e38

    monkeypatch.setattr(learn, "learning_rate", explode)
    output = train(tiny_data, tiny_preset, tmp_path / "run", status=1)
    assert "in epoch 3 is NaN or infinite; the checkpoint of epoch 2 is kept" in output
    state = run_folder.read_checkpoint(tmp_path / "run")
    assert len(state["history"]) == 2
    assert all(torch.isfinite(x).all() for x in state["model"].values())


def test_best_and_regular_checkpoints_and_early_stopping(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 1.0, 2.0, 4.0, 0.5])
    monkeypatch.setattr(learn._Loop, "_validation_loss", lambda loop: next(losses))
    settings = ("keep=best", "patience=2", "checkpoint_every=3", "epochs=5")
    folder = tmp_path / "run"
    options = [part for s in settings for part in ("--set", f"training.{s}")]
    output = train(tiny_data, tiny_preset, folder, *options)
    state = run_folder.read_checkpoint(folder)
    assert len(state["history"]) == 4  # two epochs without a lower loss than that of the second
    assert state["best"]["epoch"] == 2
    config = run_folder.read_config(folder)
    name = "parts.embedding.linear.weight"
    kept = run_folder.load_model(folder, config).state_dict()[name]
    assert torch.equal(kept, state["best"]["model"][name])
    assert not torch.equal(kept, state["model"][name])
    third = torch.load(folder / "checkpoint-0003.pt", weights_only=True)
    assert len(third["history"]) == 3
    assert output.count("epoch 4/5: train_loss") == 1  # a line an epoch without a terminal


def test_copies_are_left_out_and_named(tmp_path: Path, tiny_data: Path, statistics: Path) -> None:
    """Of training clips, and of test clips among them: thresholds are those without copies."""
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    train(data, statistics, tmp_path / "plain")
    folder = data / "hummer/train"
    for path in sorted(folder.glob("*_000?_*")):
        shutil.copy(path, folder / path.name.replace("_000", "_100"))
    shutil.copy(
        data / "hummer/test/section_00_source_test_normal_0000.wav",
        folder / "section_00_source_train_normal_2000.wav",
    )
    output = train(data, statistics, tmp_path / "copies")
    assert "left out 1 of 45 training clips, which are copies of test clips" in output
    assert "left out 20 of 44 training clips, which are copies of other training clips" in output
    a, b = (run_folder.read_embeddings(tmp_path / name).normals for name in ("plain", "copies"))
    assert a.clips.tolist() == b.clips.tolist()


def test_damaged_short_and_odd_clips_are_named(
    tmp_path: Path, tiny_data: Path, statistics: Path
) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    short = data / "hummer/train/section_00_source_train_normal_0900.wav"
    write_tone(short, 200, seed=1, seconds=0.02)
    output = train(data, statistics, tmp_path / "run", status=1)
    assert str(short) in output
    assert "--skip-damaged" in output
    stereo = data / "hummer/train/section_01_source_train_normal_0901.wav"
    rng = np.random.default_rng(0)
    soundfile.write(stereo, 0.1 * rng.standard_normal((8000, 2)), 4000)
    output = train(data, statistics, tmp_path / "run", "--skip-damaged")
    assert "left out 1 of 26 training clips" in output
    assert f"24 of 8000 Hz, 1 of 4000 Hz, such as hummer/train/{stereo.name}" in output
    assert "2 channels are averaged" in output
    output = train(data, statistics, tmp_path / "one", "--skip-damaged", "--channel", 1, status=1)
    assert "more than 10%" in output  # the others have one channel


def test_all_machines_go_on_after_a_bad_one(
    tmp_path: Path, tiny_data: Path, statistics: Path
) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    bad = data / "buzzer/train/section_00_source_train_normal_0000.wav"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"junk")
    output = train(data, statistics, tmp_path / "runs", "--machine", "all", status=1)
    assert "1 of 2 machines were not trained: buzzer" in output
    assert (tmp_path / "runs/hummer" / run_folder.EMBEDDINGS).exists()
    shutil.rmtree(data / "hummer/train")
    shutil.rmtree(data / "buzzer")
    output = train(data, statistics, tmp_path / "none", "--machine", "all", status=1)
    assert "has no normal training clips" in output


def test_a_folder_with_a_half_written_first_file_is_no_run(
    tmp_path: Path, tiny_data: Path, statistics: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".run.1234.tmp.json").write_text("{")
    train(tiny_data, statistics, folder, "--resume")
    assert (folder / run_folder.EMBEDDINGS).exists()


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
    done = [line for line in output.splitlines() if not line.startswith(("epoch ", "Warning: "))]
    assert [line.split(":")[0] for line in done] == [
        str(runs / "buzzer"),
        str(runs / "hummer"),
    ]
    assert run_folder.read_config(runs / "buzzer").machine == "buzzer"
    # The second machine's run is noticed before the first is trained.
    shutil.rmtree(runs / "buzzer")
    output = train(data, tiny_preset, runs, "--machine", "all", "--epochs", 1, status=1)
    assert f"{runs / 'hummer'}: is a run already" in output
    assert not (runs / "buzzer").exists()


def test_a_preset_without_a_network_trains_nothing(
    tmp_path: Path, tiny_data: Path, statistics: Path
) -> None:
    folder = tmp_path / "run"
    assert "24 clips of hummer" in train(tiny_data, statistics, folder)
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [run_folder.CONFIG, run_folder.CHECKPOINT, run_folder.EMBEDDINGS]
    )
    assert not run_folder.read_embeddings(folder).held_out.any()
    output = train(tiny_data, statistics, tmp_path / "other", "--epochs", 3, status=2)
    assert "trains no network" in output


def test_one_cycle_rises_to_the_peak_and_falls_to_nothing() -> None:
    settings = TrainingConfig(10, 0.2, lr=0.01, schedule="one_cycle")
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


def test_the_digest_of_the_clips_is_that_of_earlier_versions() -> None:
    front_end = presets.load("statistics").front_end
    names = ["a,b.wav", 'c "d".wav', "e\nf.wav", "\u00e4.wav"]
    columns = {"clip": names, "section": list("0123"), "domain": ["", "source", "", "target"]}
    columns["digest"] = ["x", "", "y", "z"]
    clips = {name: np.array(values) for name, values in columns.items()}
    table = FeatureTable(front_end, clips, np.empty((0, *front_end.shape), np.float32))
    text = pd.DataFrame(columns).to_csv(index=False)  # as they were written
    assert learn._clips_digest(table) == hashlib.sha256(text.encode()).hexdigest()


def test_each_held_out_clip_is_validated_once(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    inner = ClassificationObjective.unchanged_loss

    def counted(self: ClassificationObjective, batch: list[torch.Tensor]) -> torch.Tensor:
        seen.extend(batch[0])
        return inner(self, batch)

    monkeypatch.setattr(ClassificationObjective, "unchanged_loss", counted)
    train(tiny_data, tiny_preset, tmp_path / "run", "--epochs", 1)
    held_out = run_folder.read_embeddings(tmp_path / "run").held_out.sum()
    assert len(seen) == held_out == len({x.numpy().tobytes() for x in seen})
