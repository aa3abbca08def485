"""The console as its pages are used: a page is opened, and its form sent back as it was."""

from html.parser import HTMLParser


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
