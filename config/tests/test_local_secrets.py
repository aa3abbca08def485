"""The secrets of a developer's machine."""

import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from config.local_secrets import local_secret

ROOT = Path(__file__).resolve().parents[2]


def test_a_secret_is_made_once_and_kept(tmp_path):
    path = tmp_path / "secrets" / "key"
    first = local_secret(path)
    assert local_secret(path) == first == path.read_text()
    assert len(first) >= 48
    assert local_secret(tmp_path / "secrets" / "other") != first
    assert len(local_secret(tmp_path / "short", length=9)) == 12


def test_its_owner_alone_may_read_it(tmp_path):
    umask = os.umask(0)
    try:
        local_secret(tmp_path / "key")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_nobody_may_read_it_while_it_is_written(tmp_path, monkeypatch):
    modes = []
    real = Path.write_text

    def watching(self, *arguments, **more):
        written = real(self, *arguments, **more)
        modes.append(stat.S_IMODE(self.stat().st_mode))
        return written

    monkeypatch.setattr(Path, "write_text", watching)
    local_secret(tmp_path / "key")
    assert modes == [0o600]


def test_nothing_else_is_left_behind(tmp_path):
    local_secret(tmp_path / "key")
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_processes_that_start_at_once_agree(tmp_path):
    program = (
        "import sys, pathlib; from config.local_secrets import local_secret; sys.stdin.readline(); "
        "print(local_secret(pathlib.Path(sys.argv[1])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "key")],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    secrets = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert secrets == {(tmp_path / "key").read_text()}


def test_whoever_comes_second_reads_the_firsts(tmp_path, monkeypatch):
    """Both find no file; one of them links first."""
    start = threading.Barrier(2)
    real = Path.exists

    def exists(self, **options):
        found = real(self, **options)
        if self.name == "key":
            start.wait(10)
        return found

    monkeypatch.setattr(Path, "exists", exists)
    ids = iter((1, 2))
    monkeypatch.setattr(os, "getpid", lambda: next(ids))  # two processes, here two threads
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: local_secret(tmp_path / "key"), range(2))
    assert first == second
