"""Why a backup was not made, not believed or not restored."""


class BackupRefused(Exception):
    """One line that says what is wrong and what to do; nothing was changed."""
