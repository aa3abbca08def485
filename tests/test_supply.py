"""What comes from others: locked by hashes, asked about, and out of the running process's reach."""

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Of each the least that it locks: less would say that it was not read.
LOCKS = {"requirements.txt": 50, "requirements-dev.txt": 50, "requirements-sms.txt": 20}


# --- The lock -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_one_version_with_hashes(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = re.sub(r"(?m)^ *#.*\n", "", text).replace("\\\n", " ").split("\n")
    requirements = [line for line in lines if line.strip()]
    assert len(requirements) > LOCKS[name]
    form = re.compile(r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==\S+( +--hash=sha256:[0-9a-f]{64})+ *")
    assert [line for line in requirements if not form.fullmatch(line)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_it_names_no_index(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.findall(r"https?:|file:/|--(?:extra-)?index|--find-links|--trusted", text) == []


def test_the_locks_agree():
    """They are installed into one environment, one after the other."""
    locks = (
        dict(re.findall(r"(?m)^([a-z0-9-]+)(?:\[.*\])?==(\S+)", (ROOT / name).read_text("utf-8")))
        for name in LOCKS
    )
    for first, second in combinations(locks, 2):
        differing = {name for name in first.keys() & second.keys() if first[name] != second[name]}
        assert differing == set()


def test_an_archive_that_was_changed_is_not_installed(tmp_path):
    """What the hashes are for; pip looks into this folder and asks nobody."""
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    found = re.search(r"(?m)^idna==(\S+) (?:\\\n +--hash=\S+ ?)+", lock)
    assert found
    (tmp_path / f"idna-{found[1]}-py3-none-any.whl").write_bytes(b"changed")
    (tmp_path / "lock.txt").write_text(found[0], encoding="utf-8")
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--isolated", "download", "--no-deps"),
            *("--no-index", "--find-links=.", "--dest=downloaded"),
            *("--require-hashes", "--requirement=lock.txt"),
        ],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert "DO NOT MATCH THE HASHES" in finished.stderr


# --- Known vulnerabilities ----------------------------------------------------------------------
def audited(tmp_path, program):
    """What `.ci/audit.py` says and exits with when this is pip-audit."""
    script = tmp_path / "pip_audit_of_the_test.py"
    script.write_text(program, encoding="utf-8")
    return audited_by(sys.executable, str(script))


def audited_by(*command):
    finished = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit.py", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.stderr == ""
    return finished.returncode, finished.stdout.splitlines()


ANSWER = """
import json, sys
assert {"--require-hashes", "--disable-pip"} <= set(sys.argv)
assert len([one for one in sys.argv if one.endswith((".txt"))]) == 2
one = {"name": "one", "version": "1.0", "vulns": VULNS}
two = {"name": "two", "skip_reason": "not found"}
print(json.dumps({"dependencies": [one, two], "fixes": []}))
sys.exit(1 if one["vulns"] else 0)
"""


def test_a_finding_fails_and_is_named(tmp_path):
    hole = {"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"], "aliases": [], "description": "bad"}
    status, lines = audited(tmp_path, ANSWER.replace("VULNS", repr([hole])))
    assert status == 1
    assert "one 1.0: PYSEC-1, fixed in 1.1, 2.0" in lines


def test_what_the_service_does_not_know_counts_as_asked_by_nobody(tmp_path):
    status, lines = audited(tmp_path, ANSWER.replace("VULNS", "[]"))
    assert status == 0
    assert lines == [
        "Of 1 dependencies the service knew nothing; they were not audited.",
        "1 dependencies were audited, 0 vulnerabilities found.",
    ]


def test_a_service_that_is_away_is_said_and_fails_nothing(tmp_path):
    status, lines = audited(tmp_path, "import sys; sys.exit('ERROR: could not connect')")
    assert (status, lines) == (
        0,
        ["pip-audit got no answer, so nothing was audited: ERROR: could not connect"],
    )


def test_a_pip_audit_that_is_not_there_is_said_and_fails_nothing():
    status, (line,) = audited_by("/nowhere/pip-audit")
    assert status == 0
    assert line.startswith("pip-audit cannot be started, so nothing was audited: ")
    status, (line,) = audited_by(sys.executable, "-m", "pip_audit_is_not_here")
    assert status == 0
    assert line.startswith("pip-audit got no answer, so nothing was audited: ")


def test_ci_asks():
    assert "\nmake check-supply\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


# --- The image ----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def instructions():
    """The instructions of the Dockerfile, one a line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ")
    return [" ".join(line.split()) for line in joined.splitlines() if line.strip()]


def test_the_code_is_not_its_runtime_users(instructions):
    user = instructions.index("USER 10001")
    changes = [
        number
        for number, line in enumerate(instructions)
        if line.startswith(("COPY", "ADD", "RUN"))
    ]
    assert max(changes) < user, "whatever is put into the image is put there by root"
    assert [line for line in instructions if "chown" in line] == []
    owned = [line for line in instructions if "-o points" in line]
    assert len(owned) == 1
    assert owned[0].endswith("install -d -o points -g points -m 0700 /data")


def test_the_base_image_may_be_given_by_its_digest(instructions):
    assert "ARG PYTHON_DIGEST" in instructions, "and none is written that nobody saw"
    bases = [line.split()[1] for line in instructions if line.startswith("FROM")]
    assert set(bases) == {"python:3.13-slim${PYTHON_DIGEST:+@${PYTHON_DIGEST}}"}
    assert instructions.index("ARG PYTHON_DIGEST") == 0, "before the first FROM, for both"


def test_the_image_installs_what_is_locked_alone(instructions):
    installs = [line for line in instructions if "pip install" in line]
    assert len(installs) == 1
    assert "--require-hashes -r requirements.txt" in installs[0]
