"""asd-evaluate: what it writes, what it prints, what it says when labels are missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from helpers import invoke
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from asd_training.cli.evaluate import main


def test_files_and_figures(tmp_path: Path, tiny_bundle: Path, tiny_data: Path) -> None:
    result = invoke(main, tiny_bundle, tiny_data, "-o", tmp_path / "e", "--json")
    assert sorted(p.name for p in (tmp_path / "e").glob("[!.]*")) == [
        "anomaly_score_hummer_section_00_test.csv",
        "anomaly_score_hummer_section_01_test.csv",
        "clips",
        "decision_result_hummer_section_00_test.csv",
        "decision_result_hummer_section_01_test.csv",
        "report.html",
        "result.csv",
        "roc.png",
        "scores.csv",
        "scores.parquet",
        "scores.png",
        "summary.json",
    ]
    table = pd.read_parquet(tmp_path / "e" / "scores.parquet")
    assert set(table["section"]) == {"00", "01"}  # text, not numbers
    again = pd.read_csv(tmp_path / "e" / "scores.csv", dtype=str, keep_default_na=False)
    assert again["score"].astype(float).tolist() == table["score"].tolist()
    assert again["section"].tolist() == table["section"].tolist()
    assert '"hummer","00"' in (tmp_path / "e" / "scores.csv").read_text()
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    for section in ("00", "01"):
        path = tmp_path / "e" / f"anomaly_score_hummer_section_{section}_test.csv"
        frame = pd.read_csv(path, names=["clip", "score"])
        labels = frame["clip"].str.contains("anomaly")
        (row,) = [r for r in rows if r.get("section") == section]
        assert row["auc"] == pytest.approx(roc_auc_score(labels, frame["score"]))
        assert row["pauc"] == pytest.approx(roc_auc_score(labels, frame["score"], max_fpr=0.1))
        assert row["sweep_auc"] >= 0.5
    assert {r["mean"] for r in rows if "mean" in r} == {"arithmetic", "harmonic"}
    judged = [r for r in rows if "section" in r]
    values = [r[name] for r in judged for name in ("auc", "pauc")]
    assert rows[-1]["official_score"] == pytest.approx(hmean(values))


def test_table(tmp_path: Path, tiny_run: Path, tiny_data: Path) -> None:
    result = invoke(main, tiny_run, tiny_data, "-o", tmp_path / "e", "--device", "cpu")
    assert "AUC" in result.stdout
    assert "arithmetic mean" in result.stdout
    assert "Official score" in result.stdout
    rules, files = result.stderr.splitlines()
    assert rules == "rules of DCASE 2022 and later (no sign of an earlier year)"
    assert "report.html" in files
    assert (tmp_path / "e" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_machine_without_test_labels(tmp_path: Path, tiny_bundle: Path, tiny_data: Path) -> None:
    """An evaluation set of a challenge: its scores are the result."""
    data = tmp_path / "data" / "hummer" / "test"
    data.mkdir(parents=True)
    for i, clip in enumerate(sorted((tiny_data / "hummer/test").glob("*.wav"))):
        shutil.copy(clip, data / f"section_{clip.name.split('_')[1]}_{i:04d}.wav")
    result = invoke(main, tiny_bundle, data.parent.parent, "-o", tmp_path / "e")
    assert "none of the clips is labelled, so there are no metrics" in result.stderr
    assert "scores of 16 clips" in result.stderr
    assert (tmp_path / "e" / "anomaly_score_hummer_section_00_test.csv").exists()
    assert (tmp_path / "e" / "scores.png").exists()
    assert not (tmp_path / "e" / "report.html").exists()


def test_an_unreadable_clip_is_named_and_the_rest_evaluated(
    tmp_path: Path, tiny_bundle: Path, tiny_data: Path
) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    bad = data / "hummer/test/section_00_source_test_normal_0000.wav"
    bad.write_bytes(b"junk")
    result = invoke(main, tiny_bundle, data, "-o", tmp_path / "e", status=1)
    assert str(bad) in result.stderr
    assert "arithmetic mean" in result.stdout


def test_scores_folder(tmp_path: Path, tiny_bundle: Path, tiny_data: Path) -> None:
    """What was written is evaluated to the same result again."""
    first, again = tmp_path / "first", tmp_path / "again"
    invoke(main, tiny_bundle, tiny_data, "-o", first)
    invoke(main, "--scores", first, "-o", again)
    assert (again / "result.csv").read_bytes() == (first / "result.csv").read_bytes()


def test_published_scores_give_the_published_result(tmp_path: Path, recordings: Path) -> None:
    published = recordings / "dcase2021_scores" / "autoencoder"
    result = invoke(main, "--scores", published, "-o", tmp_path)
    assert "rules of DCASE 2021" in result.stderr
    assert "not the challenge's recordings" not in (tmp_path / "report.html").read_text()
    assert (tmp_path / "result.csv").read_bytes() == (published / "result.csv").read_bytes()


def test_wrong_use(tmp_path: Path, tiny_bundle: Path, tiny_data: Path) -> None:
    def message(*arguments: object, status: int = 1) -> str:
        return invoke(main, *arguments, "-o", tmp_path / "e", status=status).stderr

    assert "Give MODEL and DATA" in message(status=2)
    assert "takes neither" in message(tiny_bundle, "--scores", tmp_path, status=2)
    assert "no such run or bundle" in message(tmp_path / "none", tiny_data)
    assert "neither a run" in message(tmp_path, tiny_data)
    assert "no such folder" in message(tiny_bundle, tmp_path / "none")
    assert "'pump'" in message(tiny_bundle, tiny_data, "--machine", "pump")
    train_only = tmp_path / "data"
    shutil.copytree(tiny_data / "hummer/train", train_only / "hummer/train")
    assert "has no test clips" in message(tiny_bundle, train_only)


def test_rules_and_names(tmp_path: Path, tiny_bundle: Path, tiny_data: Path) -> None:
    """The year decides the names of the files; a data set of 2020 tells it by itself."""
    result = invoke(main, tiny_bundle, tiny_data, "-o", tmp_path / "e", "--rules", "2021")
    assert "rules of DCASE 2021\n" in result.stderr
    assert (tmp_path / "e" / "anomaly_score_hummer_section_00_source_test.csv").exists()
    old = tmp_path / "old" / "hummer" / "test"
    old.mkdir(parents=True)
    for i, clip in enumerate(sorted((tiny_data / "hummer/test").glob("*.wav"))):
        section, _, _, label = clip.stem.split("_")[1:5]
        shutil.copy(clip, old / f"{label}_id_{section}_{i:08d}.wav")
    result = invoke(main, tiny_bundle, tmp_path / "old", "-o", tmp_path / "e")
    assert "rules of DCASE 2020 (file names like" in result.stderr
    assert (tmp_path / "e" / "anomaly_score_hummer_id_00.csv").exists()
    assert not (tmp_path / "e" / "anomaly_score_hummer_section_00_source_test.csv").exists()
    assert (tmp_path / "e" / "result.csv").read_text().startswith("hummer\nid,AUC,pAUC\n00,")


@pytest.fixture
def three_machines(tmp_path: Path, tiny_run: Path, tiny_data: Path) -> tuple[Path, Path]:
    """Runs of hummer, buzzer and droner, and a data set where droner's tests have no labels."""
    runs, data = tmp_path / "runs", tmp_path / "data"
    for name in ("hummer", "buzzer", "droner"):
        shutil.copytree(tiny_run, runs / name)
        shutil.copytree(tiny_data / "hummer", data / name)
        config = json.loads((runs / name / "run.json").read_text())
        (runs / name / "run.json").write_text(json.dumps({**config, "machine": name}))
    for i, clip in enumerate(sorted((data / "droner/test").iterdir())):
        clip.rename(clip.with_name(f"section_{clip.name.split('_')[1]}_{i:04d}.wav"))
    return runs, data


def test_many_machines(tmp_path: Path, three_machines: tuple[Path, Path]) -> None:
    runs, data = three_machines
    out = tmp_path / "e"
    rows = [
        json.loads(line)
        for line in invoke(main, runs, data, "-o", out, "--json").stdout.splitlines()
    ]
    by_group = {(r["machine"], r["section"]): r for r in rows if "section" in r}
    # Alike but for their names, they are scored alike; one official score over both.
    assert by_group["hummer", "00"]["auc"] == by_group["buzzer", "00"]["auc"]
    assert by_group["droner", "00"]["auc"] is None
    judged = [r for key, r in by_group.items() if key[0] != "droner"]
    values = [r[name] for r in judged for name in ("auc", "pauc")]
    assert rows[-1]["official_score"] == pytest.approx(hmean(values))
    assert (out / "anomaly_score_droner_section_01_test.csv").exists()
    page = (out / "report.html").read_text()
    assert "droner was scored, but not judged" in page
    assert page.count('<section class="machine"') == 3


def test_one_of_many(tmp_path: Path, three_machines: tuple[Path, Path]) -> None:
    runs, data = three_machines
    result = invoke(main, runs, data, "-o", tmp_path / "e", "--machine", "buzzer")
    assert "hummer" not in result.stdout
    assert "'pump'" in invoke(main, runs, data, "--machine", "pump", status=1).stderr


def test_what_fails_among_many_is_said(tmp_path: Path, three_machines: tuple[Path, Path]) -> None:
    """The rest is evaluated; the report and the exit status say that something is missing."""
    runs, data = three_machines
    (runs / "buzzer" / "embeddings.npz").unlink()
    shutil.rmtree(data / "droner")
    result = invoke(main, runs, data, "-o", tmp_path / "e", status=1)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 2
    assert "is not finished" in errors[0]
    assert "has no machine 'droner'; it has: buzzer, hummer" in errors[1]
    assert "no run or bundle for machine buzzer" in result.stderr
    assert "Official score" in result.stdout
    assert "is not finished" in (tmp_path / "e" / "report.html").read_text()
    shutil.rmtree(runs / "hummer")
    result = invoke(main, runs, data, "-o", tmp_path / "e", status=1)
    assert "holds no run or bundle that can be evaluated" in result.stderr


def test_two_runs_of_one_machine_are_refused(
    tmp_path: Path, three_machines: tuple[Path, Path]
) -> None:
    """Neither is chosen by its name; another machine of the folder can be."""
    runs, data = three_machines
    shutil.copytree(runs / "hummer", runs / "z_again")
    said = invoke(main, runs, data, "-o", tmp_path / "e", status=1).stderr
    assert f"z_again: is of machine 'hummer', and so is {runs / 'hummer'}" in said
    assert not (tmp_path / "e").exists()
    invoke(main, runs, data, "-o", tmp_path / "e", "--machine", "buzzer")


def test_machine_of_score_files(tmp_path: Path, three_machines: tuple[Path, Path]) -> None:
    runs, data = three_machines
    invoke(main, runs, data, "-o", tmp_path / "first")
    result = invoke(
        main, "--scores", tmp_path / "first", "-o", tmp_path / "e", "--machine", "hummer"
    )
    assert "buzzer" not in result.stdout
    assert "read off the normal test clips" in (tmp_path / "e" / "report.html").read_text()
    result = invoke(main, "--scores", tmp_path / "first", "--machine", "pump", status=1)
    assert "has no machine 'pump'" in result.stderr


def test_names_with_markup_unknown_sections_and_leaked_clips(
    tmp_path: Path, tiny_bundle: Path, tiny_data: Path
) -> None:
    """Nothing of a name vanishes; figures that may mislead are said to."""
    data = tmp_path / "data" / "fan [new]"
    for split in ("train", "test"):
        (data / split).mkdir(parents=True)
        for clip in (tiny_data / "hummer" / split).glob("section_00_*"):
            shutil.copy(clip, data / split / clip.name.replace("section_00", "section_07"))
    leaked = next((data / "train").iterdir())
    shutil.copy(leaked, data / "test" / "section_07_source_test_normal_0100.wav")
    normal, anomaly = (min((data / "test").glob(f"*_{name}_*")) for name in ("normal", "anomaly"))
    shutil.copy(normal, data / "test" / "section_07_source_test_anomaly_0101.wav")
    shutil.copy(anomaly, data / "test" / "section_07_source_test_anomaly_0102.wav")
    result = invoke(main, tiny_bundle, data.parent, "--machine", "fan [new]", "-o", tmp_path / "e")
    assert " fan [new] " in result.stdout
    assert "no references of section 07" in result.stderr
    assert "1 of 11 test clips are training clips as well" in result.stderr
    assert "1 of 11 test clips are copies of others" in result.stderr
    assert "one of the labels is wrong" in result.stderr
    assert "and counts again" in result.stderr
    report = (tmp_path / "e" / "report.html").read_text()
    assert "no references of section 07" in report
    assert "training clips as well" in report


def test_clips_of_one_name_in_two_folders(
    tmp_path: Path, tiny_bundle: Path, tiny_data: Path
) -> None:
    """MIMII numbers normal and abnormal clips alike; their score files are read back."""
    for label, word in (("normal", "normal"), ("abnormal", "anomaly")):
        folder = tmp_path / "data/hummer/id_00" / label
        folder.mkdir(parents=True)
        pattern = f"section_00_source_t*_{word}_*"
        for i, clip in enumerate(sorted((tiny_data / "hummer").rglob(pattern))):
            shutil.copy(clip, folder / f"{i:08d}.wav")
    first, again = tmp_path / "first", tmp_path / "again"
    invoke(main, tiny_bundle, tmp_path / "data", "-o", first)
    invoke(main, "--scores", first, "-o", again)
    assert (again / "result.csv").read_bytes() == (first / "result.csv").read_bytes()


def test_models_are_compared(tmp_path: Path, tiny_run: Path, tiny_data: Path) -> None:
    """One table and one page; the seeds of a recipe are taken together."""
    for seed in (0, 1):
        shutil.copytree(tiny_run, tmp_path / "runs" / f"seed{seed}")
        path = tmp_path / "runs" / f"seed{seed}" / "run.json"
        path.write_text(path.read_text().replace('"seed": 0', f'"seed": {seed}'))
    models = [tmp_path / "runs" / f"seed{seed}" for seed in (0, 1)]
    none = tmp_path / "none"
    result = invoke(
        main, *models, none, tiny_data, "-o", tmp_path / "e", "--device", "cpu", status=1
    )
    assert f"{none}: no such run or bundle" in result.stderr  # and the others are compared
    assert "official score" in result.stdout
    assert "± 0.0000" in result.stdout  # the deviation over two equal models
    page = (tmp_path / "e" / "comparison.html").read_text()
    assert 'href="seed0/report.html"' in page
    assert "No model is best." in page
    assert "seed0, seed1 have the same official score" in page
    assert "Recipes over their seeds" in page
    assert (tmp_path / "e" / "seed1" / "report.html").exists()
    result = invoke(main, *models, tiny_data, "-o", tmp_path / "f", "--device", "cpu", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    compared = [row for row in rows if "auc_error" in row]
    assert [row["model"] for row in compared] == ["seed0", "seed1"]
    scores = {
        row["official_score"] for row in rows if row.get("machine") == "all" and "rules" in row
    }
    assert scores == {row["official_score"] for row in compared}


def test_changed_recipes_are_not_taken_for_seeds(
    tmp_path: Path, tiny_run: Path, tiny_data: Path
) -> None:
    """A value set by --set makes another recipe, though the preset's name is the same."""
    for name, epochs in (("a", 5), ("b", 6)):
        folder = shutil.copytree(tiny_run, tmp_path / name)
        values = json.loads((folder / "run.json").read_text())
        values["preset"]["training"]["epochs"] = epochs
        values["seed"] = epochs
        (folder / "run.json").write_text(json.dumps(values))
    models = [tmp_path / name for name in "ab"]
    result = invoke(main, *models, tiny_data, "-o", tmp_path / "e", "--device", "cpu", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    recipes = {row["recipe"] for row in rows if "auc_error" in row}
    assert len(recipes) == 2
    assert not any(row.get("n") == 2 for row in rows)
