"""Two clients generated from docs/openapi.yaml, checked strictly and run against a server.

    make check-clients

Linters read the schema (Redocly, Spectral); openapi-typescript and openapi-python-client make a
client of it; tsc and mypy hold the programs beside this file against them; node and Python run
these against `manage.py serve`. Tools come from npm and PyPI into a folder that is gone afterwards.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

import django
from PIL import Image

HERE = Path(__file__).resolve().parent
SCHEMA = HERE.parent.parent / "docs" / "openapi.yaml"


def run(*command: str | Path, cwd: Path, **environment: str) -> None:
    """Run a command; what it says is shown when it fails. Raises SystemExit then."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def say(what: str, since: float) -> None:
    print(f"{what} ({time.monotonic() - since:.0f} s)", flush=True)  # noqa: T201  the report


def lint_and_build_typescript(folder: Path) -> Sequence[str | Path]:
    """Lint the schema, make the client and the program; returns how to run it."""
    for name in ("package.json", "tsconfig.json", "customer.ts", "redocly.yaml", "spectral.yaml"):
        shutil.copy(HERE / name, folder)
    run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", cwd=folder)
    tools = folder / "node_modules" / ".bin"
    run(tools / "redocly", "lint", "--config=redocly.yaml", "--max-problems=20", SCHEMA,
        cwd=folder, REDOCLY_TELEMETRY="off", REDOCLY_SUPPRESS_UPDATE_NOTICE="true")  # fmt: skip
    run(tools / "spectral", "lint", "--ruleset=spectral.yaml", "--fail-severity=warn", SCHEMA,
        cwd=folder)  # fmt: skip
    run(tools / "openapi-typescript", SCHEMA, "--output=schema.d.ts", cwd=folder)
    run(tools / "tsc", "--project", "tsconfig.json", cwd=folder)
    return ["node", folder / "built" / "customer.js"]


def build_python(folder: Path) -> Sequence[str | Path]:
    """Make the client and check the program; returns how to run it."""
    shutil.copy(HERE / "customer.py", folder)
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    run(programs / "pip", "install", "--quiet", "-r", HERE / "requirements.txt", cwd=folder)
    run(programs / "openapi-python-client", "generate", f"--path={SCHEMA}", "--meta=none",
        f"--config={HERE / 'generator.yaml'}", "--fail-on-warning",
        "--output-path=points_client", cwd=folder)  # fmt: skip
    run(programs / "mypy", "--strict", "customer.py", "points_client", cwd=folder)
    return [programs / "python", "customer.py"]


def main() -> None:
    """Build both, then run both, each as the first customer of a new platform."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    from tests.live import platform  # it needs the models

    since = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="clients-") as name:
        folder = Path(name)
        photo = folder / "receipt.jpg"
        Image.new("RGB", (600, 900), "white").save(photo, "JPEG")
        programs = []
        for language, build in (
            ("typescript", lint_and_build_typescript),
            ("python", build_python),
        ):
            (folder / language).mkdir()
            programs.append((folder / language, build(folder / language)))
            say(f"The {language} client is built and checked.", since)
        for place, program in programs:
            (place / "data").mkdir()
            with platform(place / "data") as running:
                run(*program, running.base, photo, cwd=place)
        say("Both clients did what a customer does.", since)


if __name__ == "__main__":
    main()
