"""Files of metrics that a power cut or a full disk left: what is whole is summed up."""

import errno
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson
import pytest

from ops import measures
from ops.measures import Counter, Label, ProcessGauge
from ops.services import metric_files, metrics
from ops.services.metric_files import Sum

CUT_OFF = b'{"counted": {"platform_'


@pytest.fixture
def folder(settings, declared):
    settings.METRICS_DIR.mkdir(parents=True, exist_ok=True)
    return settings.METRICS_DIR


def test_a_file_that_was_cut_off_is_taken_for_nothing(folder, caplog):
    counter = Counter("platform_x_total", "X.")
    counter.add(3)
    metrics.write()
    (folder / "1-cut.json").write_bytes(CUT_OFF)

    assert b"platform_x_total 3.0" in metrics.render()
    assert metric_files.compact() == 1
    assert not (folder / "1-cut.json").exists()
    assert "is broken" in caplog.text


def test_what_the_gone_had_counted_is_lost_where_its_file_was_cut_off_and_nothing_else(folder):
    counter = Counter("platform_x_total", "X.")
    counter.add(3)
    (folder / "gone.json").write_bytes(CUT_OFF)

    assert b"platform_x_total 3.0" in metrics.render()


def test_who_reads_while_files_are_put_together_again_and_again_stops_looking(folder, monkeypatch):
    versions = iter(range(1000))
    monkeypatch.setattr(
        metric_files, "_read", lambda _path: orjson.dumps({"merged": [str(next(versions))]})
    )

    assert metric_files.read() == Sum({})


def test_a_file_that_is_put_together_while_somebody_reads_is_looked_for_again(folder, monkeypatch):
    metrics.write()
    there = iter([["gone-meanwhile"], []])
    monkeypatch.setattr(metric_files, "_names", lambda _where, _ending: next(there))
    assert metric_files.read().counted == {}
    assert list(there) == []


@pytest.mark.parametrize("step", ["render", "write_last"])
def test_a_full_disk_hides_nothing_of_what_others_wrote(folder, monkeypatch, caplog, step):
    Counter("platform_x_total", "X.").add(3)

    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(metric_files, "write", full)
    getattr(metrics, step)()

    assert "could not be written" in caplog.text


# --- A full disk: writing through a link to /dev/full fails as it does there ---------------------
@contextmanager
def full(draft):
    draft.symlink_to("/dev/full")
    try:
        yield
    finally:
        draft.unlink()


def test_on_a_full_disk_a_process_still_knows_what_it_counted_and_how_it_is(folder, caplog):
    """So a rule on the free space is no rule on what was free before."""
    counter, gauge = Counter("platform_x_total", "X."), ProcessGauge("platform_free", "Free.")
    counter.add(3)
    gauge.set(1000)
    metrics.write()
    name = metric_files._own["file"].name
    with full(folder / f"{name}.new"):
        counter.add(4)
        gauge.set(0)
        metrics.forget_gauges()
        said = metrics.render()
        with pytest.raises(OSError, match="No space left"):
            metrics.write()

    assert b"platform_x_total 7.0" in said
    assert b"platform_free 0.0" in said
    assert "could not be written" in caplog.text
    assert orjson.loads((folder / f"{name}.json").read_bytes())["counted"] == {
        "platform_x_total": [[[], 3]]
    }
    metrics.write()
    assert orjson.loads((folder / f"{name}.json").read_bytes())["counted"] == {
        "platform_x_total": [[[], 7]]
    }


def test_one_that_never_could_write_still_knows_what_it_counted(declared, settings):
    (settings.DATA_DIR / "file").touch()
    settings.METRICS_DIR = settings.DATA_DIR / "file" / "metrics"
    Counter("platform_x_total", "X.").add(3)

    assert b"platform_x_total 3.0" in metrics.render()


def test_what_was_counted_elsewhere_is_not_counted_here(folder, settings):
    Counter("platform_x_total", "X.").add(3)
    metrics.write()
    settings.METRICS_DIR = settings.DATA_DIR / "other"

    assert metric_files.read() == Sum({})
    metrics.write()
    assert [path.suffix for path in sorted((settings.DATA_DIR / "other").iterdir())] == [
        ".alive",
        ".json",
    ]


def test_a_full_disk_loses_nothing_of_the_gone(folder):
    counter = Counter("platform_x_total", "X.")
    counter.add(3)
    metrics.write()
    metric_files.let_go()
    measures.forget_counted()
    with full(folder / "gone.new"), pytest.raises(OSError, match="No space left"):
        metric_files.compact()
    assert b"platform_x_total 3.0" in metrics.render()
    assert metric_files.compact() == 1
    assert b"platform_x_total 3.0" in metrics.render()


def open_in(folder):
    """The files of a folder that this process has open, deleted ones as well."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile, by a thread that is none of ours
            found.append(descriptor.readlink())
    return [path for path in found if path.is_relative_to(folder)]


def test_a_file_that_cannot_be_made_leaves_nothing_over(folder, monkeypatch):
    Counter("platform_x_total", "X.").add(3)

    def full_folder(*_names):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "rename", full_folder)
    for _second in range(3):
        with pytest.raises(OSError, match="No space left"):
            metrics.write()

    assert list(folder.iterdir()) == []
    assert open_in(folder) == []


def test_the_last_words_are_asked_for_once(folder, monkeypatch):
    monkeypatch.setattr(metric_files, "_at_the_end", {})
    metrics.write_until_the_end()
    asked = metric_files._at_the_end["asked"]
    metrics.write_until_the_end()

    assert metric_files._at_the_end == {"asked": asked}
    asked.cancel()


def test_a_forked_process_lets_go_of_what_is_its_parents(folder, monkeypatch):
    monkeypatch.setattr(metric_files, "_at_the_end", {"asked": object()})
    metrics.write()

    metric_files._begin_anew()

    assert metric_files._at_the_end == {}
    assert metric_files._own == {}


def test_a_gauge_of_a_version_with_other_labels_is_left_out(declared):
    gauge = ProcessGauge("platform_x", "X.", Label("kind", ("a",)))

    read = metrics._merged(gauge, Sum({}, [{"platform_x": {(): 1.0, ("a",): 2.0}}]))

    assert read == {("a",): 2.0}
