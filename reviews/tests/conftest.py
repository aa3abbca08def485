import pytest

from reviews.models.receipts import ReceiptQuerySet
from reviews.tests.scripted_reader import ScriptedReader
from tests.api import client_of


@pytest.fixture(autouse=True)
def reader(settings):
    """The reader of all tests here: it reads what the test puts into its script."""
    settings.RECEIPT_READER = "reviews.tests.scripted_reader.ScriptedReader"
    ScriptedReader.script.clear()
    ScriptedReader.pictures.clear()
    return ScriptedReader


@pytest.fixture
def in_between(monkeypatch):
    """Let something happen between reading receipts and deciding about them: nobody holds them."""

    def happen(do):
        def read_then_do(receipts):
            read = list(receipts.order_by("pk"))
            do()
            return read

        monkeypatch.setattr(ReceiptQuerySet, "locked", read_then_do)

    return happen


@pytest.fixture
def stored_files(settings):
    """The names of all files in the storage, now."""

    def names():
        return sorted(path.name for path in settings.MEDIA_ROOT.rglob("*") if path.is_file())

    return names


@pytest.fixture
def fetch():
    """The bytes behind a signed address, which needs no header."""

    def get(address):
        response = client_of().get(address)
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "image/jpeg"
        return b"".join(getattr(response, "streaming_content"))  # noqa: B009  unknown to the stubs

    return get
