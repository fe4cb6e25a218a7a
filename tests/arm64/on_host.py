"""Record what this machine decides: a tiny bundle, its test clips, what the commands print.

Run by run.sh, before on_arm.py; the name keeps it out of the ordinary collection.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from helpers import invoke

from asd_edge.cli.main import main

THRESHOLD = ("--threshold", 10)  # between the normal clips and the faults


def test_record(tiny_bundle: Path, tiny_data: Path) -> None:
    folder = Path(os.environ["ASD_EDGE_RECORDED"])
    shutil.rmtree(folder, ignore_errors=True)
    bundle = shutil.copytree(tiny_bundle, folder / "hummer.asd")
    clips = shutil.copytree(tiny_data / "hummer" / "test", folder / "clips")
    scored = invoke(main, "score", clips, "--bundle", bundle, "--json", *THRESHOLD).stdout
    (folder / "score.jsonl").write_text(scored)
    (folder / "info.json").write_text(invoke(main, "info", bundle, "--json").stdout)
    train = shutil.copytree(tiny_data / "hummer" / "train", folder / "train")
    invoke(main, "enroll", train, "-o", folder / "enrolled.asd")
    enrolled = invoke(main, "info", folder / "enrolled.asd", "--json").stdout
    (folder / "enrolled.json").write_text(enrolled)
