"""What is written is read again, whatever happened in between."""

from __future__ import annotations

import shutil
import sqlite3
import statistics
import tracemalloc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_edge.errors import HistoryError
from asd_edge.monitor.config import HistoryConfig
from asd_edge.monitor.events import AlarmEvent, Bus
from asd_edge.monitor.history.batch import Batch, Stamp
from asd_edge.monitor.history.clips import Sound
from asd_edge.monitor.history.keep import Keeper
from asd_edge.monitor.history.read import History
from asd_edge.monitor.history.schema import FILE_NAME
from asd_edge.monitor.history.write import Writer
from asd_edge.monitor.state import Episode, Window

T0 = 1_700_000_000.0  # not a full hour
BOOT = Stamp("boot-1", T0 - 100.0, True)


def window(i: int, machine: str = "fan", score: float | None = 2.0, **rest: object) -> Window:
    start = T0 + 10 * i
    values = {
        "validity": "valid" if score is not None else "gap",
        "threshold": 4.0,
        "level_dbfs": -31.25,
        "ratio": None if score is None else score / 4.0,
        "monotonic": start + 10 - BOOT.offset,
        **rest,
    }
    return Window(machine, start, start + 10, 480_000 * i, 1, score=score, **values)


EPISODE = Episode(1, "fan", "sound", T0 + 50, sentence="4.7-5.4 kHz, 8 dB above normal")
RAISE = AlarmEvent(1, T0 + 50, "raise", EPISODE, True)


def alarm_batch() -> Batch:
    return Batch(
        windows=[(window(i), BOOT) for i in range(3)],
        episodes=[EPISODE],
        events=[RAISE],
        stamp=BOOT,
        states={"fan": "{}"},
        urgent=True,
    )


def sound(number: int, seconds: float = 1.0, episode: int = 1) -> Sound:
    samples = np.random.default_rng(number).integers(-3000, 3000, (round(8000 * seconds), 2))
    shape = ((0, 4000, 1.5, 4.0),)
    return Sound(number, episode, "fan", "first", T0, 8000, samples.astype(np.int16), shape)


def keeper(folder: Path, bus: Bus | None = None, **rest: object) -> tuple[Keeper, list[str]]:
    said: list[str] = []
    config = HistoryConfig(folder=folder, free_space_mb=0.0, **rest)
    return Keeper(config, bus or Bus(), said.append, now=lambda: T0, threaded=False), said


def test_windows_episodes_and_events_come_back(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    windows = [window(i, score=float(i)) for i in range(5)] + [window(5, score=None)]
    cleared = replace(EPISODE, cleared_at=T0 + 90, worst_ratio=3.5, verdict="fault")
    clear = AlarmEvent(2, T0 + 90, "clear", cleared, False, by="page", verdict=None)
    writer.write([Batch([(w, BOOT) for w in windows], [EPISODE], [RAISE], BOOT)], T0)
    writer.write([Batch([(window(0, "pump"), BOOT)], [cleared], [clear], BOOT)], T0)
    history = History(tmp_path)
    assert history.windows("fan") == windows
    assert history.windows("pump") == [window(0, "pump")]
    assert history.windows("fan", T0 + 10, T0 + 30) == windows[1:3]
    assert history.machines() == ["fan", "pump"]
    assert history.episodes() == [cleared]
    assert history.episode(1) == cleared
    assert history.episode(2) is None
    assert history.episodes(open_only=True) == []
    assert history.episodes("pump") == []
    assert history.events() == [RAISE, clear]
    assert history.events(after=1) == [clear]
    assert history.events(limit=1) == [clear]


def test_thinned_windows_keep_every_peak(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    rng = np.random.default_rng(3)
    windows = [window(i, score=float(s)) for i, s in enumerate(rng.uniform(0, 1, 8640))]
    peaks = {100: 9.0, 101: 8.0, 5000: 7.0}
    windows = [replace(w, score=peaks.get(i, w.score)) for i, w in enumerate(windows)]
    windows = [replace(w, ratio=(w.score or 0) / 4.0) for w in windows]
    writer.write([Batch([(w, BOOT) for w in windows])], T0)
    thin = History(tmp_path).windows("fan", max_points=200)
    assert 150 <= len(thin) <= 202
    assert {9.0, 7.0} <= {w.score for w in thin}
    assert thin == sorted(thin, key=lambda w: w.start)
    assert thin[-1] == windows[-1]


def test_thinning_many_windows_holds_few_of_them(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for first in range(0, 30_000, 1000):
        writer.write([Batch([(window(first + i), BOOT) for i in range(1000)])], T0)
    history = History(tmp_path)
    history.windows("fan", max_points=480)  # makes the connection
    tracemalloc.start()
    try:
        assert len(history.windows("fan", max_points=480)) == 481
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1e6  # all of them would take 15 MB


def test_windows_that_wait_to_be_written_are_given_with_the_others(tmp_path: Path) -> None:
    kept, _ = keeper(tmp_path)
    windows = [window(i) for i in range(6)]
    kept.put(Batch([(w, BOOT) for w in windows[:3]], urgent=True))
    for w in windows[3:]:
        kept.put(Batch([(w, BOOT), (replace(w, machine="pump"), BOOT)]))
    assert kept.history.windows("fan") == windows[:3]
    assert kept.windows("fan", T0 + 10, 100) == windows[1:]
    assert kept.windows("pump", T0, 100) == [replace(w, machine="pump") for w in windows[3:]]
    kept.flush()
    assert kept.windows("fan", T0, 100) == windows


def test_hours_are_what_their_windows_say(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    scores = np.random.default_rng(1).uniform(0, 8, 1000).round(3).tolist()
    windows = [window(i, score=s if i % 7 else None) for i, s in enumerate(scores)]
    for i in range(0, 1000, 6):  # as the daemon does: once a minute
        writer.write([Batch([(w, BOOT) for w in windows[i : i + 6]])], T0)
        if i == 500 - 500 % 6:  # and it was restarted
            writer.close()
            writer = Writer(tmp_path)
    hours = History(tmp_path).hours("fan")
    last = windows[-1].start // 3600
    assert [h.start / 3600 for h in hours] == list(range(int(T0 // 3600), int(last)))
    for hour in hours:
        inside = [w for w in windows if hour.start <= w.start < hour.start + 3600]
        ratios = [w.ratio for w in inside if w.ratio is not None]
        assert (hour.windows, hour.valid) == (len(inside), len(ratios))
        assert (hour.low, hour.high) == (min(ratios), max(ratios))
        assert hour.median == statistics.median(ratios)
        assert hour.level_dbfs == -31.25


def test_old_windows_go_and_their_hours_stay(tmp_path: Path) -> None:
    writer = Writer(tmp_path, keep_days=1.0)
    writer.write([Batch([(window(i), BOOT) for i in range(1000)])], T0)
    later = [window(i) for i in range(20000, 21000)]
    writer.write([Batch([(w, BOOT) for w in later])], later[-1].start)
    left = History(tmp_path).windows("fan")
    assert left == later
    assert len(History(tmp_path).hours()) >= 2


def test_a_clock_years_ahead_cannot_take_all(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    windows = [(window(i), BOOT) for i in range(9000)]
    writer.write([Batch(windows[:8000])], T0)
    writer.write([Batch(windows[8000:])], T0 + 10 * 365 * 86400)
    assert len(History(tmp_path).windows("fan")) >= 9000 - 2 * 2000


def test_nothing_of_a_failed_batch_is_written(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.write([alarm_batch()], T0)
    with pytest.raises(sqlite3.IntegrityError):  # an event's id twice
        writer.write([Batch([(window(7, "new"), BOOT)], events=[RAISE], stamp=BOOT)], T0)
    assert History(tmp_path).machines() == ["fan"]
    writer.write([Batch([(window(7, "new"), BOOT)])], T0)
    assert History(tmp_path).windows("new") == [window(7, "new")]


def test_alarms_survive_a_power_cut_at_any_byte_of_the_journal(tmp_path: Path) -> None:
    """Whatever part of the journal reached the disk: a prefix of the commits, never a part."""
    writer = Writer(tmp_path / "live")
    writer._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for i in range(6):
        episode = replace(EPISODE, id=i + 1, raised_at=T0 + i)
        event = AlarmEvent(i + 1, T0 + i, "raise", episode, True)
        batch = Batch([(window(i), BOOT)], [episode], [event], BOOT, {"fan": str(i)}, urgent=True)
        writer.write([batch], T0)
    journal = (tmp_path / "live" / f"{FILE_NAME}-wal").read_bytes()
    seen = set()
    for length in [*range(0, len(journal), 509), len(journal)]:
        folder = tmp_path / "cut"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copy(tmp_path / "live" / FILE_NAME, folder)
        (folder / f"{FILE_NAME}-wal").write_bytes(journal[:length])
        after = Writer(folder)
        assert after.set_aside is None
        history = History(folder)
        events, windows = history.events(), history.windows("fan") if history.machines() else []
        assert [e.id for e in events] == list(range(1, len(events) + 1))
        assert len(windows) == len(events) == len(history.episodes())
        assert after.state("fan") == (str(len(events) - 1) if events else None)
        after.close()
        seen.add(len(events))
    assert seen == set(range(7))


@pytest.mark.parametrize("damage", ["header", "middle", "not a database", "empty"])
def test_a_malformed_database_is_set_aside(tmp_path: Path, damage: str) -> None:
    writer = Writer(tmp_path)
    writer.write([Batch([(window(i), BOOT) for i in range(3000)], [EPISODE], [RAISE], BOOT)], T0)
    writer.close()
    path = tmp_path / FILE_NAME
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:16] = b"x" * 16
    elif damage == "middle":
        content[4096 * 8 : 4096 * 30] = bytes(range(256)) * 16 * 22
    elif damage == "not a database":
        content = bytearray(b"no database" * 1000)
    else:
        content = bytearray()
    path.write_bytes(content)
    kept, said = keeper(tmp_path)
    kept.put(alarm_batch())
    assert History(tmp_path).events() == [RAISE]
    if damage == "empty":  # as SQLite begins one
        assert not said
        return
    assert len(said) == 1
    aside = next(tmp_path.glob(f"{FILE_NAME}.malformed-*"))
    assert str(aside) in said[0]
    assert aside.read_bytes() == content


def test_a_database_that_becomes_malformed_while_it_is_written(tmp_path: Path) -> None:
    bus = Bus()
    heard = bus.subscribe("test")
    kept, said = keeper(tmp_path, bus)
    kept.put(Batch([(window(i), BOOT) for i in range(3000)], urgent=True))
    kept._writer._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.write(b"\xff" * 4096 * 60)
    kept._writer._db.execute("PRAGMA shrink_memory")
    kept.put(alarm_batch())
    assert len(said) == 1
    assert "malformed" in said[0]
    assert kept.history.events() == [RAISE]
    assert heard.get(0) == RAISE
    assert kept.trouble is None


def test_ids_are_not_used_twice_after_a_history_was_set_aside(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 1000)
    kept, _ = keeper(tmp_path)
    assert min(kept.last_ids()) > 1_700_000_000
    kept.close()
    again, _ = keeper(tmp_path / "other")
    assert again.last_ids() == (0, 0, 0)


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer._db.execute("PRAGMA user_version = 99")
    writer.close()
    with pytest.raises(HistoryError, match="version 99"):
        Writer(tmp_path)
    with pytest.raises(HistoryError, match="version 99"):
        History(tmp_path).episodes()


def test_no_history(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="no such history"):
        History(tmp_path).windows("fan")
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError, match="cannot be made"):
        Writer(tmp_path / "file" / "folder")


def test_clips_are_kept_bit_for_bit_and_found_by_their_alarm(tmp_path: Path) -> None:
    kept, _ = keeper(tmp_path)
    batch = alarm_batch()
    batch.clips.append(sound(1))
    kept.put(batch)
    (clip,) = kept.history.clips(1)
    samples, rate = soundfile.read(clip.path, dtype="int16")
    assert rate == clip.rate == 8000
    assert np.array_equal(samples, sound(1).samples)
    assert clip.bytes == clip.path.stat().st_size
    assert (clip.windows, clip.seconds, clip.channels) == (((0, 4000, 1.5, 4.0),), 1.0, 2)
    assert kept.history.clip(1) == clip
    assert kept.history.episode(1) == replace(EPISODE, clips=(1,))


def test_clips_do_not_fill_the_memory_while_the_database_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, _ = keeper(tmp_path)

    def locked(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    held = []
    with monkeypatch.context() as patch:
        patch.setattr(kept._writer, "write", locked)
        for number in (1, 2, 3):
            one = sound(number, seconds=number)
            held.append(weakref.ref(one.samples))
            kept.put(Batch(clips=[one], episodes=[EPISODE], urgent=True))
            del one
    assert [samples() is None for samples in held] == [True] * 3
    assert kept.trouble is not None
    kept.flush()
    clips = kept.history.clips(1)
    assert [(c.id, c.seconds, c.channels) for c in clips] == [(n, float(n), 2) for n in (1, 2, 3)]
    assert all(soundfile.info(c.path).frames == c.seconds * 8000 for c in clips)


def test_the_oldest_clips_give_way(tmp_path: Path) -> None:
    kept, _ = keeper(tmp_path, clip_quota_mb=1.0)
    for i in range(1, 7):  # white noise: 25 s of it take 0.6 MB
        episode = replace(EPISODE, id=i)
        kept.put(Batch([], [episode], [], BOOT, clips=[sound(i, 10.0, i)], urgent=True))
        path = kept.history.clips(i)[0].path
        path.with_suffix(".explanation.json").write_text("{}")  # as the page does
    history = kept.history
    left = [i for i in range(1, 7) if history.clips(i)]
    assert left == list(range(left[0], 7))
    assert 1 < left[0] < 6
    files = sorted(p.name for p in (tmp_path / "clips").glob("*.flac"))
    assert len(list((tmp_path / "clips").iterdir())) == 2 * len(files)
    assert files == sorted(history.clips(i)[0].path.name for i in left)
    assert sum(history.clips(i)[0].bytes for i in left) <= 1024 * 1024
    kept.close()
    again, _ = keeper(tmp_path)
    assert again.last_ids() == (6, 0, 6)


def test_no_clip_below_the_floor_of_free_space(tmp_path: Path) -> None:
    said: list[str] = []
    config = HistoryConfig(folder=tmp_path, free_space_mb=1e9)
    kept = Keeper(config, Bus(), said.append, threaded=False)
    batch = alarm_batch()
    batch.clips.append(sound(1))
    kept.put(batch)
    assert said == ["A clip was not kept: too little free space"]
    assert kept.not_kept == 1
    assert kept.history.clips(1) == []
    assert kept.history.events() == [RAISE]


def test_files_of_a_killed_program_are_removed(tmp_path: Path) -> None:
    kept, _ = keeper(tmp_path)
    batch = alarm_batch()
    batch.clips += [sound(1), sound(2)]
    kept.put(batch)
    kept.close()
    first, second = kept.history.clips(1)
    first.path.unlink()  # somebody removed it
    (tmp_path / "clips" / "000009_fan_x_first.flac").write_bytes(b"half")
    (tmp_path / "clips" / ".000010.tmp.flac").write_bytes(b"half")
    again, _ = keeper(tmp_path)
    assert again.history.clips(1) == [second]
    assert [p.name for p in (tmp_path / "clips").iterdir()] == [second.path.name]


def test_events_are_committed_before_they_are_published(tmp_path: Path) -> None:
    bus = Bus()
    kept = Keeper(HistoryConfig(folder=tmp_path, free_space_mb=0), bus, print)
    heard = bus.subscribe("test")
    kept.put(Batch([(window(0), BOOT)]))
    kept.put(alarm_batch())
    assert heard.get(10) == RAISE
    assert History(tmp_path).events() == [RAISE]
    assert len(History(tmp_path).windows("fan")) == 4  # with what had waited
    kept.put(Batch(cursors={"mqtt": 1}))
    kept.close()
    assert History(tmp_path).cursor("mqtt") == 1
    assert History(tmp_path).cursor("other") is None


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """People are told although nothing can be written; what waits is written later, once."""
    bus = Bus()
    heard = bus.subscribe("test")
    kept, said = keeper(tmp_path, bus)
    kept.put(Batch([(window(9), BOOT)], urgent=True))
    db = kept._writer._db
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    kept.put(Batch([(window(i + 100), BOOT) for i in range(2000)], urgent=True))
    assert kept.trouble is not None
    assert "full" in kept.trouble
    kept.put(alarm_batch())
    assert heard.get(0) == RAISE
    assert kept.history.events() == []
    db.execute("PRAGMA max_page_count = 100000")
    kept.flush()
    assert kept.trouble is None
    assert kept.history.events() == [RAISE]
    assert len(kept.history.windows("fan")) == 2004
    assert heard.get(0) is None
    assert [line.split(":")[0] for line in said] == [
        "The history cannot be written",
        "The history can be written again",
    ]


def test_time_that_becomes_known(tmp_path: Path) -> None:
    """Two boots without a battery for the clock, then the network: all rows are moved."""
    writer = Writer(tmp_path)
    wrong = T0 - 5 * 86400  # where the clock had stopped
    first, second = Stamp("a", wrong - 7.0, False), Stamp("b", wrong + 3600 - 7.0, False)

    def heard(stamp: Stamp, i: int) -> Window:
        monotonic = 7.0 + 10 * (i + 1)
        end = monotonic + stamp.offset
        return replace(window(i), start=end - 10, end=end, monotonic=monotonic)

    episode = replace(EPISODE, raised_at=heard(second, 3).end, cleared_at=heard(second, 8).end)
    raised = AlarmEvent(1, episode.raised_at, "raise", episode, True)
    writer.write([Batch([(heard(first, i), first) for i in range(300)])], T0)
    second_rows = [(heard(second, i), second) for i in range(800)]
    writer.write([Batch(second_rows, [episode], [raised], second)], T0)
    true_offset = T0 - 7.0
    assert writer.synchronise("b", true_offset) == pytest.approx(5 * 86400 - 3600)
    history = History(tmp_path)
    rows = history.windows("fan")
    moved = 5 * 86400 - 3600
    assert [w.start for w in rows[:300]] == [
        pytest.approx(heard(first, i).start + moved) for i in range(300)
    ]
    assert [w.start for w in rows[300:]] == [pytest.approx(T0 + 10 * i) for i in range(800)]
    found = history.episodes()[0]
    assert found.raised_at == pytest.approx(T0 + 40)
    assert found.cleared_at == pytest.approx(T0 + 90)
    assert history.events()[0].at == pytest.approx(T0 + 40)
    writer.write([Batch([(window(800), replace(BOOT, boot="b"))])], T0)
    hours = history.hours("fan")
    assert (
        sum(h.windows for h in hours)
        + sum(w.start >= hours[-1].start + 3600 for w in history.windows("fan"))
        == 1101
    )
    assert writer.synchronise("b", true_offset + 99) == 0.0
    assert history.windows("fan")[300].start == pytest.approx(T0)


def test_a_month_of_a_machine_fits(tmp_path: Path) -> None:
    """30 days at a hop of 10 s are to take less than 60 MB; a hundredth of that is written here."""
    writer = Writer(tmp_path)
    rng = np.random.default_rng(5)
    for at in range(0, 25920, 2592):
        rows = [
            (window(i, score=float(s)), BOOT)
            for i, s in enumerate(rng.uniform(0, 4, 2592), start=at)
        ]
        writer.write([Batch(rows)], T0)
    writer.close()
    assert (tmp_path / FILE_NAME).stat().st_size < 2.4e6
