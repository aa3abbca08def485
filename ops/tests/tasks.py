"""Tasks for the worker under test."""

from django.tasks import task

ran: list[str] = []


@task()
def note(word):
    ran.append(word)
    return word.upper()


@task()
def fail():
    raise ZeroDivisionError("a secret of the shop")
