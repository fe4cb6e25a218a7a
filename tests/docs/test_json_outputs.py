"""What the commands print as JSON is what the schemas in docs/reference/schemas say."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fake_monitor import FakeMonitor, episode, machine, window
from helpers import invoke

from asd_edge.cli.main import main
from asd_edge.monitor.events import AlarmEvent
from asd_edge.monitor.history.schema import Hour
from asd_edge.monitor.wording import event_values, machine_values

SCHEMAS = Path(__file__).parents[2] / "docs" / "reference" / "schemas"
jsonschema = pytest.importorskip("jsonschema")


def check(name: str, value: Any) -> None:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    jsonschema.validators.validator_for(schema).check_schema(schema)
    jsonschema.validate(value, schema)


def lines(*arguments: object, status: int = 0) -> list[Any]:
    result = invoke(main, *arguments, status=status)
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_score(tmp_path: Path) -> None:
    found = lines("score", "--example", "--json")
    assert {value["outcome"] for value in found} == {"normal", "anomalous"}
    overdriven = tmp_path / "overdriven.wav"
    soundfile.write(overdriven, np.sign(np.random.default_rng(0).normal(size=160_000)), 16000)
    found += lines("score", overdriven, "--json", status=1)
    assert found[-1]["outcome"] == "cannot judge"
    for value in found:
        check("score", value)


def test_explain_verify_and_bench() -> None:
    faulty = next(v for v in lines("score", "--example", "--json") if v["anomalous"])["clip"]
    (why,) = lines("explain", faulty, "--json")
    check("explain", why)
    shares = sum(share for band in why["bands"] for view, share in band.items() if "hz" not in view)
    assert shares == pytest.approx(why["window"]["score"])
    for value in lines("verify", "--json"):
        check("verify", value)
    for value in lines("bench", "--json", "--repeat", "1"):
        check("bench", value)


def test_info() -> None:
    (found,) = lines("info", "--json")
    check("info", found)
    assert found["sections"]["fan"]["lowest_rate"] < 0.01 < found["sections"]["fan"]["highest_rate"]
    (support,) = lines("info", "--support", "--json")
    check("info-support", support)


def test_evaluation(tiny_data: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra train")
    import pandas as pd

    from asd_training.cli.evaluate import main as evaluate

    result = invoke(evaluate, tiny_bundle, tiny_data, "-o", tmp_path / "one", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    for row in rows:
        check("evaluate", row)
    assert [r["section"] for r in rows if "section" in r] == ["00", "01"]
    assert set(rows[-1]) == {"machine", "rules", "official_score"}
    summary = json.loads((tmp_path / "one" / "summary.json").read_text())
    check("summary", summary)
    assert summary["clips"] == 16
    for name in ("scores.csv", "scores.parquet"):
        path = tmp_path / "one" / name
        if name == "scores.csv":
            table = pd.read_csv(path, quoting=2, dtype={"section": str})
        else:
            table = pd.read_parquet(path)
        assert len(table) == 16
        for row in table.to_dict(orient="records"):
            check("scores", json.loads(json.dumps(row, default=bool)))

    copy = tmp_path / "copy.asd"
    copy.symlink_to(tiny_bundle)
    result = invoke(evaluate, tiny_bundle, copy, tiny_data, "-o", tmp_path / "two", "--json")
    compared = [row for row in map(json.loads, result.stdout.splitlines()) if "model" in row]
    assert len(compared) == 2
    for row in compared:
        check("evaluate-comparison", row)


def test_mqtt_and_history() -> None:
    heard = window(ratio=0.5)
    check("mqtt-state", machine_values(machine(last_valid=heard, last=heard), 1000.0))
    event = AlarmEvent(3, 1000.0, "raise", episode(clips=(1, 2)), True)
    check("mqtt-event", event_values(event, FakeMonitor(machine()).snapshot))
    check("history-windows", json.loads(json.dumps(asdict(heard) | {"start": "", "end": ""})))
    alarm = asdict(episode(clips=(1, 2))) | {"raised_at": ""}
    check("history-alarms", json.loads(json.dumps(alarm)))
    hour = asdict(Hour("fan", 0.0, 360, 359, 0.1, 0.5, 2.0, -40.0)) | {"start": ""}
    check("history-hours", hour)


def test_a_field_without_a_description_is_an_error() -> None:
    value = lines("verify", "--json")[0]
    with pytest.raises(jsonschema.ValidationError):
        check("verify", {**value, "more": 1})
