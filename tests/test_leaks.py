"""The search of the suite's log finds what was planted, and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leaks import Leaks, leaks
from tests.people import make_person

ROOT = Path(__file__).parent.parent
PLANTED = [
    "test_a_code",
    "test_a_seed",
    "test_a_virtual_code_of_two_words",
    "test_an_openid",
    "test_a_key",
    "test_what_an_exception_says",
]


def test_each_planted_leak_fails_its_test_and_its_line_is_shown():
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/planted_leaks.py", "-q", "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1, finished.stdout
    failed = re.findall(r"^ERROR tests/planted_leaks.py::(\w+)", finished.stdout, re.MULTILINE)
    assert failed == PLANTED
    assert '"logger":"planted","message":"sent 482913 to somebody"' in finished.stdout
    assert f"{len(PLANTED) + 1} passed, {len(PLANTED)} errors" in finished.stdout


@pytest.mark.django_db
def test_what_a_row_keeps_secret_is_known_when_it_is_saved():
    person = make_person(wechat_openid="openid-of-somebody-in-a-test")
    assert leaks.knows(str(person.phone))
    assert leaks.knows("openid-of-somebody-in-a-test")


@pytest.mark.parametrize(
    "text",
    [
        "token eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiNSJ9.Hk9-gZ_w3kq here",
        "13700000001 came",
        "发往13700000001的短信",
        "for 482913.",
    ],
)
def test_what_is_known_is_found_in_a_line(text):
    heard = Leaks()
    heard.know("13700000001")
    heard.know("482913")
    heard.hear(f'{{"message": "{text}"}}')
    assert len(heard.take()) == 1


@pytest.mark.parametrize(
    "line",
    [
        '{"message": "137****0001 came", "request_id": "13700000001", "time": "482913"}',
        '{"message": "0193a138-4829-1348-2913-482913001a2b, 4829130"}',
        '{"message": "x", "trace": "  File 1\\n    f(\\"13700000001\\")\\nValueError: 1"}',
        '{"message": "short"}',
    ],
)
def test_what_is_not_said_is_not_found(line):
    heard = Leaks()
    for value in ("13700000001", "482913", "short"):
        heard.know(value)
    heard.hear(line)
    assert heard.take() == []


def test_a_short_code_is_forgotten_with_its_test():
    heard = Leaks()
    heard.know("482913")
    heard.take()
    heard.hear('{"message": "482913 rows"}')
    assert heard.take() == []
