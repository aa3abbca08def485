import pytest

from tests.api import client_of


@pytest.fixture
def api():
    """A stranger's client that gets the answer to a failure, as one in the field does."""
    return client_of(raise_request_exception=False)
