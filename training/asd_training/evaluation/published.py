"""Published figures to compare an evaluation with: `published.csv`, each with its source.

A row is one system's AUC and pAUC of a machine type (2020: arithmetic, later: harmonic mean over
its sections), from 2022 on by domain, or its official score over "all" machines. `sections`
and `clips` say which test clips the figure is of; what could not be checked is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import pandas as pd

from asd_training.evaluation.metrics import JOINT_YEAR, Results


@dataclass(frozen=True)
class Baselines:
    """The published figures that fit an evaluation.

    Attributes:
        machines: of single machines, columns of `published.csv`.
        overall: of the whole challenge, the same columns.
        mismatches: sentences on machines whose number of test clips is not the
            challenge's: those figures are of other recordings.
    """

    machines: pd.DataFrame
    overall: pd.DataFrame
    mismatches: tuple[str, ...]


def read() -> pd.DataFrame:
    """Read `published.csv`; an absent number is NaN."""
    with (files("asd_training.evaluation") / "published.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    # Numbers are made of text by Python: the fast reader of pandas 2 can miss the last digit.
    numbers = ["clips", "auc", "pauc", "score"]
    table[numbers] = table[numbers].replace("", "nan").astype(float)
    return table.astype({"year": int})


def find(results: Results, *, year_given: bool = True) -> Baselines:
    """Find the figures of the same year, machine types and sections as `results`.

    Args:
        results: of `asd_training.evaluation.metrics.evaluate`.
        year_given: whether `results.year` is meant; if not, 2022 stands for any later year, whose
            rules are the same and which is told by machine and section.
    """
    known = read()
    known = known[
        (known["year"] == results.year)
        if year_given or results.year < JOINT_YEAR
        else (known["year"] >= JOINT_YEAR)
    ]
    rows = results.rows
    fitting, mismatches = [], []
    for machine, part in rows.groupby("machine", sort=False):
        sections = " ".join(sorted(set(part["section"])))
        same = known[(known["machine"] == machine) & (known["sections"] == sections)]
        fitting.append(same)
        clips = int(part[["n_normal", "n_anomaly"]].sum().sum())
        for year, challenge in same.dropna(subset="clips").groupby("year")["clips"].first().items():
            if clips != challenge:
                mismatches.append(
                    f"{machine} has {clips} labelled test clips here, {challenge:.0f} in the data "
                    f"set of {year}"
                )
    machines = pd.concat(fitting) if fitting else known.iloc[:0]
    told = known.set_index(["year", "set"]).index.isin(machines.set_index(["year", "set"]).index)
    # Up to 2022 the sections alone tell the development from the evaluation set.
    everywhere = {" ".join(sorted(set(part["section"]))) for _, part in rows.groupby("machine")}
    if len(everywhere) == 1:
        told |= ((known["sections"] == everywhere.pop()) & (known["sections"] != "")).to_numpy()
    overall = known[(known["machine"] == "all") & told]
    return Baselines(machines, overall, tuple(mismatches))
