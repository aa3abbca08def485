"""The console as its pages are used: a page is opened, and its form sent back as it was."""

from contextlib import contextmanager
from html.parser import HTMLParser

from django.apps import apps
from django.test import Client


class _Fields(HTMLParser):
    """Collects what a browser would send of the forms of a page."""

    def __init__(self):
        super().__init__()
        self.data = {}
        self.select = None
        self.textarea = None

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        name = given.get("name")
        if tag == "select":
            self.select = name
            self.data.setdefault(name, [])
        elif tag == "option" and self.select and "selected" in given:
            self.data[self.select].append(given.get("value") or "")
        elif tag == "textarea":
            self.textarea = name
            self.data[name] = [""]
        elif tag == "input" and name:
            kind = given.get("type", "text")
            if kind in {"submit", "button", "file", "image", "reset"}:
                return
            if kind in {"checkbox", "radio"} and "checked" not in given:
                return
            value = given.get("value")
            if value is None:
                value = "on" if kind in {"checkbox", "radio"} else ""
            self.data.setdefault(name, []).append(value)

    def handle_endtag(self, tag):
        if tag == "select":
            self.select = None
        elif tag == "textarea":
            self.textarea = None

    def handle_data(self, text):
        if self.textarea:
            self.data[self.textarea][0] += text


def form_of(page):
    """What a browser would send of a page: field names and their values."""
    parser = _Fields()
    parser.feed(page.content.decode())
    return {name: values for name, values in parser.data.items() if values}


def fill_in(client, address, **fields):
    """Open a page and send its form back with these fields filled in."""
    return client.post(address, {**form_of(client.get(address)), **fields})


def console_of(person=None):
    """A browser in which a person is signed in to the console; a stranger's without a person."""
    client = Client()
    if person is not None:
        client.force_login(person)
    return client


# What a sign-in to the console leaves, which is no change that a refusal has to take back.
TABLES_OF_SIGN_INS = {"sessions.Session", "accounts.ConsoleDevice"}
COLUMNS_OF_SIGN_INS = {"accounts.User": {"last_login", "updated_at"}}


def contents():
    """Every row of every table, to be compared: what no refusal may change."""
    return {
        model._meta.label: _rows_of(model)
        for model in apps.get_models(include_auto_created=True)
        if model._meta.label not in TABLES_OF_SIGN_INS
    }


def _rows_of(model):
    left_out = COLUMNS_OF_SIGN_INS.get(model._meta.label, ())
    columns = [field.attname for field in model._meta.concrete_fields if field.name not in left_out]
    return list(model._base_manager.order_by("pk").values_list(*columns))


@contextmanager
def refused_unchanged():
    """What is tried in here changes no row of any table."""
    before = contents()
    yield
    after = contents()
    changed = {label for label in after if after[label] != before[label]}
    assert not changed, f"changed, though it was to be refused: {sorted(changed)}"
