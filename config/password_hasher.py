"""How passwords of the console are kept."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class ConsoleHasher(Argon2PasswordHasher):
    """Argon2id with half of Django's memory: a small machine signs several people in at once.

    46 MiB and two rounds are twice what OWASP asks for at the least; a tenth of a second or two.
    """

    time_cost = 2
    memory_cost = 46 * 1024  # KiB
    parallelism = 1
