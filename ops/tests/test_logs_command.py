"""`manage.py logs`: the files are searched by level, request, logger and time."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone, translation

from ops.logs import search


@pytest.fixture
def folder(settings, tmp_path):
    settings.LOG_DIR = tmp_path
    return tmp_path


def write(folder, *lines, day=None, machine="a", packed=False):
    day = day or datetime.now(UTC)
    path = folder / f"{day:%Y-%m-%d}.{machine}.jsonl{'.gz' if packed else ''}"
    text = "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())


def line(message, *, ago=timedelta(), level="INFO", logger="ops.x", request_id="r-1", **facts):
    moment = datetime.now(UTC) - ago
    return {
        "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z",
        "level": level,
        "logger": logger,
        "message": message,
        "request_id": request_id,
        **facts,
    }


def run(*arguments):
    output = StringIO()
    with translation.override("en"):
        call_command("logs", *arguments, stdout=output)
    return output.getvalue().splitlines()


def found(*arguments):
    return [json.loads(text)["message"] for text in run("--json", *arguments)]


def test_the_newest_comes_last_whatever_file_it_is_in(folder):
    yesterday = datetime.now(UTC) - timedelta(days=1)
    write(folder, line("a", ago=timedelta(hours=23)), day=yesterday, packed=True)
    write(folder, line("b", ago=timedelta(minutes=3)), line("d", ago=timedelta(minutes=1)))
    write(folder, line("c", ago=timedelta(minutes=2)), line("e"), machine="b")
    assert found() == ["a", "b", "c", "d", "e"]


def test_what_was_written_late_comes_in_its_place(folder):
    write(folder, line("b", ago=timedelta(seconds=1)), line("a", ago=timedelta(seconds=2)))
    assert found() == ["a", "b"]


def test_order_is_found_with_few_lines_in_memory(folder, monkeypatch):
    monkeypatch.setattr(search, "OUT_OF_ORDER", 2)
    ages = [5, 6, 4, 2, 3, 1]
    write(folder, *(line(str(age), ago=timedelta(seconds=age)) for age in ages))
    assert found() == ["6", "5", "4", "3", "2", "1"]


def test_lines_are_found_by_what_they_say(folder):
    write(
        folder,
        line("1", level="DEBUG"),
        line("2", level="ERROR", request_id="r-2", logger="ops.x.y"),
        line("3", level="WARNING", request_id="r-22"),
        line("4", logger="opsx", request_id="r-2"),
        line("5 r-2", logger="request"),
    )
    assert found("--level", "warning") == ["2", "3"]
    assert found("--request", "r-2") == ["2", "4"]
    assert found("--logger", "ops.x") == ["1", "2", "3"]
    assert found("--logger", "ops.x", "--level", "ERROR") == ["2"]


def test_a_day_is_shown_unless_it_is_said_and_all_of_a_request(folder):
    long_ago = timedelta(days=40)
    write(folder, line("old", ago=long_ago), day=datetime.now(UTC) - long_ago, packed=True)
    write(folder, line("new"))
    assert found() == ["new"]
    assert found("--request", "r-1") == ["old", "new"]
    assert found("--since", "41d") == ["old", "new"]
    assert found("--request", "r-1", "--since", "2h") == ["new"]
    assert found("--since", (timezone.now() + timedelta(hours=1)).isoformat()) == []


def test_what_is_no_line_is_left_out(folder):
    write(folder, "half a li", line("whole"), "[]", '{"message": "no time"}', "\x00")
    assert found() == ["whole"]


def test_people_read_a_line_with_its_facts_and_its_trace(folder):
    told = line("Request", method="GET", status=200, shop_id=None, trace="Traceback\nE: x")
    write(folder, told)
    first, *trace = run()
    moment = timezone.localtime(datetime.fromisoformat(told["time"]))
    assert first == f"{moment:%Y-%m-%d %H:%M:%S} INFO ops.x [r-1] Request method=GET status=200"
    assert trace == ["Traceback", "E: x"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--level", "loud"], "--level: write one of DEBUG, INFO, WARNING"),
        (["--since", "yesterday"], "--since: write a day"),
        (["--since", "2026-02-31"], "--since: write a day"),
        (["--request", "no id"], "--request: write the id"),
        (["--request", ""], "--request: write the id"),
    ],
)
def test_wrong_arguments_are_refused_in_words(folder, arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        run(*arguments)


def test_without_files_it_says_so(settings):
    settings.LOG_DIR = None
    with pytest.raises(CommandError, match="LOG_DIR is not set"):
        run()
