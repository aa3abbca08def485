import pytest
from rest_framework.test import APIClient


@pytest.fixture
def api():
    """A client that gets the answer to a failure, as one in the field does."""
    return APIClient(raise_request_exception=False)
