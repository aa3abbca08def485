"""Tasks for tests alone: the worker under test runs them."""

from django.tasks import task

ran: list[str] = []


@task()
def note(word):
    ran.append(word)
    return word.upper()


@task()
def fail():
    raise ZeroDivisionError("a secret of the shop")
