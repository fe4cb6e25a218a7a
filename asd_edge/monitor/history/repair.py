"""Mending a history: a database that is malformed, and times that were not known."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

_HOUR = 3_600_000


def set_aside(path: Path) -> Path:
    """Rename a malformed database with its journal, so that a new one can begin.

    Returns:
        its new name.
    """
    when = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = path.with_name(f"{path.name}.malformed-{when}")
    for suffix in ("", "-wal", "-shm"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.rename(target.with_name(target.name + suffix))
    return target


def shift(db: sqlite3.Connection, boot: int, offset: int) -> tuple[int, set[tuple[int, int]]]:
    """Move rows of which the time was unknown to the time that it was; in a transaction.

    Args:
        db: the database.
        boot: number of the boot of which the time is known now; other boots' rows without a
            known time are moved as far as its first one.
        offset: UTC minus the monotonic clock, in milliseconds.

    Returns:
        milliseconds by which the first window of the boot was moved, and (machine, hour) of
        hourly rows that are to be made.
    """
    row = db.execute(
        "SELECT monotonic - length + ? - start FROM windows "
        "WHERE boot = ? AND synced = 0 ORDER BY number LIMIT 1",
        (offset, boot),
    ).fetchone()
    moved = int(row[0]) if row else 0
    hours = f"SELECT DISTINCT machine, start / {_HOUR} FROM windows WHERE synced = 0"
    touched = set(db.execute(hours))
    for table, column, monotonic in (
        ("windows", "start", "monotonic - length"),
        ("episodes", "raised_at", "monotonic"),
        ("episodes", "cleared_at", "cleared_monotonic"),
        ("events", "at", "monotonic"),
    ):
        db.execute(
            f"UPDATE {table} SET {column} = {monotonic} + ? WHERE boot = ? AND synced = 0",
            (offset, boot),
        )
        db.execute(
            f"UPDATE {table} SET {column} = {column} + ? WHERE boot <> ? AND synced = 0",
            (moved, boot),
        )
    touched |= set(db.execute(hours)) if moved else set()
    for table in ("windows", "episodes", "events"):
        db.execute(f"UPDATE {table} SET synced = 1 WHERE synced = 0")
    db.executemany("DELETE FROM hours WHERE machine = ? AND hour = ?", touched)
    return moved, touched
