"""Somebody in a browser without scripts: follows the links of a page, and sends its forms."""

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

from django.test import Client


class _Page(HTMLParser):
    """The links and the forms of a page, each form with what a browser would send of it."""

    def __init__(self):
        super().__init__()
        self.language = None
        self.links, self.forms = [], []
        self.form = self.select = None

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        name = given.get("name")
        if tag == "html":
            self.language = given.get("lang")
        elif tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag == "form":
            method = given.get("method", "get").lower()
            self.form = {"to": given.get("action", ""), "by": method, "fields": {}, "buttons": {}}
            self.forms.append(self.form)
        elif self.form is None:
            return
        elif tag == "select":
            self.select = name
            self.form["fields"][name] = ""
        elif tag == "option" and self.select and "selected" in given:
            self.form["fields"][self.select] = given.get("value", "")
        elif tag == "textarea":
            self.form["fields"][name] = ""
        elif name and (tag == "button" or given.get("type") == "submit"):
            self.form["buttons"][name] = given.get("value", "")
        elif tag == "input" and name:
            is_ticked = given.get("type") not in {"checkbox", "radio"} or "checked" in given
            self.form["fields"].setdefault(name, "")
            if is_ticked:
                self.form["fields"][name] = given.get("value", "")

    def handle_endtag(self, tag):
        if tag == "form":
            self.form = None
        elif tag == "select":
            self.select = None


class Browser:
    """One browser, with its cookies and its language. It knows no address but the first."""

    def __init__(self, *, language):
        self.client = Client(headers={"Accept-Language": language})
        self.at = "/"
        self.page: Any = None
        self.text = ""

    def open(self, address):
        """Type an address."""
        return self._shown(self.client.get(address, follow=True), address)

    def follow(self, address):
        """Press a link of the page that leads to this address, whatever stands behind the `?`."""
        found = [link for link in self.page.links if self._whole(link).partition("?")[0] == address]
        assert found, f"no link to {address} at {self.at}: {sorted(set(self.page.links))}"
        return self.open(self._whole(found[0]))

    def send(self, *, button="", **filled):
        """Fill in the form that has these fields and this button, and send it."""

        def has_all(form):
            is_there = not button or button in form["buttons"]
            return is_there and set(filled) <= set(form["fields"])

        found = [form for form in self.page.forms if form["by"] == "post" and has_all(form)]
        fields = [sorted(form["fields"]) for form in self.page.forms]
        assert found, f"no form with {sorted(filled)} {button} at {self.at}: {fields}"
        form = found[0]
        sent = {**form["fields"], **filled}
        if button:
            sent[button] = form["buttons"][button]
        to = self._whole(form["to"])
        return self._shown(self.client.post(to, sent, follow=True), to)

    def _whole(self, address):
        return urljoin(self.at, address)

    def _shown(self, answer, address):
        assert answer.status_code == 200, (address, answer.status_code)
        self.at = answer.redirect_chain[-1][0] if answer.redirect_chain else address
        self.at = urlsplit(self.at)._replace(scheme="", netloc="").geturl()
        self.text = answer.content.decode()
        self.page = _Page()
        self.page.feed(self.text)
        return self
