"""A Redis and a folder of its own for each worker of a parallel run.

Load it by `-p tests.workers`: pytest-django reads the settings before any conftest.py is imported.
A database of its own each worker gets from pytest-django, by its name.
"""

import os
from pathlib import Path

WORKER = os.environ.get("PYTEST_XDIST_WORKER")  # gw0, gw1, …; absent in a run of one process

if WORKER:
    redis_urls = os.environ["WORKER_REDIS_URLS"].split(",")
    # A worker that crashed is replaced by one with the next number.
    os.environ["REDIS_URL"] = redis_urls[int(WORKER.removeprefix("gw")) % len(redis_urls)]
    folder = Path(os.environ["DATA_DIR"]) / WORKER
    folder.mkdir(exist_ok=True)
    os.environ["DATA_DIR"] = str(folder)
