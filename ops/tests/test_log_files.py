"""Files of the log: one for each day, written by many, kept for 90 days."""

import gzip
import json
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from ops.logs.counts import counts
from ops.logs.files import DailyFiles, forget_old, log_files
from ops.logs.lines import JsonFormatter
from ops.services import jobs, machine
from ops.services.pulse import beats
from ops.tests.test_machine import other

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture
def folder(settings, tmp_path):
    settings.LOG_DIR = tmp_path / "logs"
    return settings.LOG_DIR


@pytest.fixture
def handler():
    handler = DailyFiles()
    handler.setFormatter(JsonFormatter())
    yield handler
    handler.close()


def say(handler, text, *, at=NOW):
    record = logging.makeLogRecord(
        {"name": "probe", "levelno": 20, "levelname": "INFO", "msg": text}
    )
    record.created = at.timestamp()
    handler.handle(record)


def messages(folder):
    return {
        path.name.partition(".")[0]: [
            json.loads(line)["message"] for line in path.read_text().splitlines()
        ]
        for path in sorted(folder.iterdir())
    }


def test_each_day_has_a_file_that_only_its_owner_reads(folder, handler):
    say(handler, "before midnight", at=datetime(2026, 11, 25, 23, 59, 59, tzinfo=UTC))
    say(handler, "after midnight", at=datetime(2026, 11, 26, tzinfo=UTC))
    assert messages(folder) == {"2026-11-25": ["before midnight"], "2026-11-26": ["after midnight"]}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_without_a_folder_nothing_is_written(settings, handler, tmp_path):
    settings.LOG_DIR = None
    say(handler, "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_moved_away_is_made_again(folder, handler):
    say(handler, "one")
    (path,) = folder.iterdir()
    path.rename(folder.parent / "away")
    say(handler, "two")
    handler._looked_at = 0  # a while later
    say(handler, "three")
    assert messages(folder)["2026-11-26"] == ["three"]


WRITER = """
import logging, sys, django
django.setup()
for number in range(500):
    logging.getLogger("probe").warning("%s %d %s", sys.argv[1], number, "x" * 3000)
"""


def test_many_processes_write_whole_lines_into_one_file(tmp_path, folder):
    environment = {"DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": str(tmp_path)}
    folder.mkdir()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(number)],
            env={**environment, "PATH": ""},
            stderr=subprocess.DEVNULL,
        )
        for number in range(3)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    said = [text.split()[:2] for texts in messages(folder).values() for text in texts]
    for number in range(3):
        own = [int(count) for writer, count in said if writer == str(number)]
        assert own == list(range(500))


def test_lines_that_no_file_takes_are_counted_and_said_once(folder, handler, capsys):
    folder.write_text("a file where the folder should be")
    before = counts()["lines_lost"]
    say(handler, "one")
    say(handler, "two")
    assert counts()["lines_lost"] == before + 2
    assert capsys.readouterr().err.count("Lines of the log are lost") == 1


def make(folder, day, *, packed=False):
    folder.mkdir(exist_ok=True)
    path = folder / f"{day:%Y-%m-%d}.machine.jsonl{'.gz' if packed else ''}"
    text = b'{"time": "x"}\n'
    path.write_bytes(gzip.compress(text) if packed else text)
    return path


def test_old_files_go_and_those_of_days_that_are_over_are_packed(folder):
    today = NOW.date()
    for days in (0, 1, 2, 90, 91, 400):
        make(folder, today - timedelta(days=days), packed=days in {90, 400})
    strange = folder / "2020-01-01.txt"
    strange.write_text("not ours")

    assert forget_old(now=NOW) == 3

    left = [((today - file.day).days, file.is_packed) for file in log_files(folder)]
    assert left == [(90, True), (2, True), (1, False), (0, False)]
    assert strange.exists()
    packed = folder / f"{today - timedelta(days=2):%Y-%m-%d}.machine.jsonl.gz"
    assert gzip.decompress(packed.read_bytes()) == b'{"time": "x"}\n'
    assert packed.stat().st_mode & 0o777 == 0o600
    assert forget_old(now=NOW) == 0


def test_a_process_that_begins_a_day_deletes_what_is_too_old(folder, handler):
    old = make(folder, NOW.date() - timedelta(days=91))
    kept = make(folder, NOW.date() - timedelta(days=90))
    say(handler, "x")
    assert (old.exists(), kept.exists()) == (False, True)


def test_there_may_be_no_folder(settings, tmp_path):
    settings.LOG_DIR = None
    assert forget_old(now=NOW) == 0
    settings.LOG_DIR = tmp_path / "none"
    assert forget_old(now=NOW) == 0


def test_each_machine_keeps_its_own_files_and_one_of_its_processes_does(folder):
    old = make(folder, datetime.now(UTC).date() - timedelta(days=9))
    try:
        with other() as one:
            assert one.says()[0]
            beats["old files of the log"].act()
            assert old.exists()
            one.kill()
            beats["old files of the log"].act()
    finally:
        machine.let_go()
    assert not old.exists()
    assert old.with_name(f"{old.name}.gz").exists()
    assert "old files of the log" not in jobs.jobs.names()
