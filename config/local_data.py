"""What the platform keeps on this machine: folders, SQLite's file, the secrets of development.

Importing the settings writes nothing. Whoever starts a server or a command that works with the
data calls `make_local_data` first: config.wsgi, config.asgi, and manage.py for all but a few
commands. A secret that is needed without it, by a script that only sets Django up, is made at its
first use (`local_secrets.MadeWhenNeeded`), since what is once encrypted must stay readable.
"""

from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

from config.environment_reader import make_folder
from config.private_paths import make_private_database

SQLITE = "django.db.backends.sqlite3"
# They read the code and no data.
NEED_NO_DATA = frozenset(
    {
        "check",
        "collectstatic",
        "compilemessages",
        "diffsettings",
        "findstatic",
        "makemessages",
        "spectacular",
    }
)
SECRETS = ("SECRET_KEY", "HASH_KEYS", "TOKEN_KEYS", "FIELD_ENCRYPTION_KEYS", "SEAL_KEYS")


def prepare_command(arguments: Sequence[str]) -> None:
    """Make what the command of these arguments needs, and nothing for one that needs nothing.

    Raises ImproperlyConfigured as `make_local_data` does.
    """
    name = next(iter(arguments), "help")
    if name.startswith("-") or name in {"help", "version"} or {"-h", "--help"} & set(arguments):
        return
    asks_the_database = any(argument.startswith("--database") for argument in arguments)
    if asks_the_database or name not in NEED_NO_DATA:
        make_local_data()
    elif settings.DATABASES["default"]["ENGINE"] == SQLITE:
        # Checks ask SQLite what it can do, which would make the file.
        settings.DATABASES["default"]["NAME"] = ":memory:"


def make_local_data() -> None:
    """Make what is missing, for this process's own user alone, and close what is there.

    Raises ImproperlyConfigured with the name of the setting whose folder cannot be made.
    """
    make_folder("DATA_DIR", settings.DATA_DIR)
    make_folder("SEALS_DIR", settings.SEALS_DIR)
    if settings.LOG_DIR:
        make_folder("LOG_DIR", settings.LOG_DIR)
    database = settings.DATABASES["default"]
    if database["ENGINE"] == SQLITE:
        make_private_database(Path(database["NAME"]))
    for name in SECRETS:
        len(getattr(settings, name))  # used, and so made where nobody set it
