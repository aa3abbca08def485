"""Schemathesis asks for whatever the API documents allow, and for what they do not.

Two minutes in all, as a stranger, a customer and a merchant, with the ids of the examples and those
that links lead to: no answer says that we failed, none is other than the documents say.
The same requests in every run; on a slow machine fewer of them.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from reviews.tests.factories import make_file
from tests.live import Platform, platform

SECONDS = 40  # for each of the three
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
# Without WeChat's keys it cannot be asked, which is its own answer and no failure of ours.
SETTINGS = """
[[operations]]
include-operation-id = "post_auth_wechat"

[operations.checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "502"]
"""
CUSTOMER, MERCHANT = "13800138001", "13900139001"


def set_the_scene(running: Platform) -> None:
    """Let the first of everything be the customer's, as the examples have it."""
    customer = running.sign_in(CUSTOMER)
    customer.post("/api/lottery/draw", {"count": 1})
    customer.post("/api/exchange/submit", {"product_id": 1})
    customer.upload(make_file(size=(300, 400)), "12.50")


def ask_for_everything(running: Platform, folder: Path, *options: str) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    (folder / "schemathesis.toml").write_text(SETTINGS, encoding="utf-8")
    done = subprocess.run(
        [program, "run", f"{running.base}/api/schema", f"--checks={','.join(CHECKS)}",
         f"--max-time={SECONDS}", "--generation-deterministic", "--no-color", "--warnings=off",
         *options],
        cwd=folder, capture_output=True, text=True, check=False, timeout=10 * SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{running.output()}"


@pytest.mark.parametrize(
    "phone", ["", CUSTOMER, MERCHANT], ids=["stranger", "customer", "merchant"]
)
def test_every_answer_is_as_the_documents_say(phone: str, tmp_path: Path) -> None:
    with platform(tmp_path, REQUESTS_PER_PERSON="1000000/min") as running:
        set_the_scene(running)
        options = []
        if phone:
            token = running.sign_in(phone).token
            # Signing out would make a stranger of them.
            options = [f"--header=Authorization: Bearer {token}",
                       "--exclude-operation-id=post_auth_logout"]  # fmt: skip
        ask_for_everything(running, tmp_path, *options)
