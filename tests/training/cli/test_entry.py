"""What the commands of the workstation print besides their own messages."""

from __future__ import annotations

import logging

import pytest

from asd_training.cli import entry


def test_logged_warnings_are_shown_once_and_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("asd_training")
    before = list(logger.handlers)
    entry._show_warnings()
    try:
        for _ in range(2):
            logging.getLogger("asd_training.data.clips").warning("passed over %s", "a\nb.wav")
    finally:
        logger.handlers[:] = before
    assert capsys.readouterr().err == "Warning: passed over a\\nb.wav\n"
