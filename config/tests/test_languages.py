"""Chinese is complete, English is the source, and neither shows through the other.

What has to be translated is read out of the sources here, so that this needs no gettext.
"""

import ast
import io
import re
from functools import cache
from gettext import GNUTranslations
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import BaseCommand
from django.utils import translation
from django.utils.translation.template import templatize

from accounts.models import User
from tests.api import client_of
from tests.refusals import refused

CHINESE = re.compile(r"[\u4e00-\u9fff]")
CATALOGUES = Path(settings.BASE_DIR, "locale/zh_Hans/LC_MESSAGES")
NOT_OURS = {".venv", "data", "staticfiles", "tests"}

# How many of the first arguments belong to the message; a context comes before them.
CALLS = {"_": 1, "gettext": 1, "ngettext": 2, "pgettext": 2, "npgettext": 3}
CALL_IN_TEMPLATE = re.compile(r"\b(?:n?p?gettext|_)\(")
CALL_IN_SCRIPT = re.compile(r"""\bn?gettext\(\s*('(?:\\.|[^'])*'|"(?:\\.|[^"])*")""")


# --- What the sources say -----------------------------------------------------------------------
def calls_in(tree):
    """The messages of all translating calls: a text, or one with its plural, context in front."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        name = name.removesuffix("_lazy").removesuffix("_noop")
        given = [arg for arg in node.args[: CALLS.get(name, 0)] if isinstance(arg, ast.Constant)]
        texts = [arg.value for arg in given if isinstance(arg.value, str)]
        if not texts:
            continue
        context = f"{texts.pop(0)}\x04" if "pgettext" in name else ""
        yield context + texts[0], len(texts) > 1


def messages_in(path):
    text = path.read_text()
    if path.suffix == ".py":
        return set(calls_in(ast.parse(text)))
    found = set()
    code = templatize(text)
    for start in (match.start() for match in CALL_IN_TEMPLATE.finditer(code)):
        ends = (match.end() for match in re.finditer(r"\)", code[start:]))
        for end in ends:
            try:
                tree = ast.parse(code[start : start + end])
            except SyntaxError:
                continue
            found |= set(calls_in(tree))
            break
    return found


@cache
def our_messages():
    sources = [path for end in ("*.py", "*.html") for path in settings.BASE_DIR.rglob(end)]
    ours = [
        path for path in sources if NOT_OURS.isdisjoint(path.relative_to(settings.BASE_DIR).parts)
    ]
    return set().union(*map(messages_in, ours))


@cache
def theme_messages():
    """Those of the theme's installed apps; its other add-ons show nothing here."""
    found = set()
    for app in apps.get_app_configs():
        if app.name.split(".")[0] == "unfold":
            root = Path(app.path)
            paths = [path for end in ("*.py", "*.html") for path in root.rglob(end)]
            core = [path for path in paths if "contrib" not in path.relative_to(root).parts]
            found |= set().union(*map(messages_in, core))
    return found


# --- What the catalogues say --------------------------------------------------------------------
def read_po(path):
    """The entries of a catalogue's source: message -> translation."""
    entries: dict[tuple[str, bool], str] = {}
    for block in path.read_text().split("\n\n"):
        parts: dict[str, str] = {}
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if not line.startswith('"'):
                keyword, line = line.split(" ", 1)
            parts[keyword] = parts.get(keyword, "") + ast.literal_eval(line)
        context = f"{parts['msgctxt']}\x04" if "msgctxt" in parts else ""
        is_plural = "msgid_plural" in parts
        translated = parts["msgstr[0]" if is_plural else "msgstr"]
        entries[context + parts["msgid"], is_plural] = translated
    del entries["", False]  # the head
    return entries


SOURCES = pytest.mark.parametrize(
    "source", sorted(CATALOGUES.glob("*.po")), ids=lambda path: path.stem
)


@SOURCES
def test_nothing_is_empty_fuzzy_or_obsolete(source):
    text = source.read_text()

    assert [message for message, translated in read_po(source).items() if not translated] == []
    assert re.findall(r"^#(?:,.*fuzzy.*|~.*)$", text, re.MULTILINE) == []


@SOURCES
def test_the_compiled_catalogue_is_that_of_its_source(source):
    with source.with_suffix(".mo").open("rb") as file:
        compiled = GNUTranslations(file)

    for (message, is_plural), translated in read_po(source).items():
        found = compiled.ngettext(message, message, 1) if is_plural else compiled.gettext(message)
        assert found == translated, "run make compilemessages"


@SOURCES
def test_chinese_is_punctuated_as_chinese(source):
    """No comma, semicolon, colon, question mark or bracket of the other script after a sign."""
    wrong = [
        text for text in read_po(source).values() if re.search(r"[\u4e00-\u9fff][,;:?!()]", text)
    ]

    assert wrong == []


def test_the_catalogue_has_what_the_sources_say_and_nothing_else():
    ours, translated = our_messages(), set(read_po(CATALOGUES / "django.po"))

    assert len(ours) > 400
    assert sorted(ours - translated) == [], "run make messages, translate, make compilemessages"
    assert sorted(translated - ours) == [], "run make messages"


def test_the_facts_of_a_message_are_those_of_its_translation():
    for (message, _is_plural), translated in read_po(CATALOGUES / "django.po").items():
        facts = r"%\(\w+\)[sd]|%s|\{\w*\}"
        assert sorted(re.findall(facts, translated)) == sorted(re.findall(facts, message)), message


# --- What other packages bring ------------------------------------------------------------------
def in_chinese(message, is_plural):
    with translation.override("zh-hans"):
        context, _separator, text = message.rpartition("\x04")
        if is_plural:
            return translation.ngettext(text, text, 1)
        return translation.pgettext(context, text) if context else translation.gettext(text)


def test_the_theme_has_no_text_without_chinese():
    messages = theme_messages()

    assert len(messages) > 100
    assert sorted(one for one in messages if not CHINESE.search(in_chinese(*one))) == []


@pytest.mark.django_db
def test_the_scripts_of_the_admin_have_no_text_without_chinese(client):
    scripts = Path(admin.__file__).parent.glob("static/admin/js/**/*.js")
    own = [path for path in scripts if "vendor" not in path.parts]
    # Long texts are put together with a plus.
    sources = [re.sub(r"""['"]\s*\+\s*['"]""", "", path.read_text()) for path in own]
    messages = {
        ast.literal_eval(text) for source in sources for text in CALL_IN_SCRIPT.findall(source)
    }
    client.force_login(User.objects.create_superuser("admin", "password"))

    catalogue = client.get("/admin/jsi18n/").content.decode()

    assert len(messages) > 40
    known = {
        ast.literal_eval(text)
        for text in re.findall(r'^\s+("(?:\\.|[^"])*"): ', catalogue, re.MULTILINE)
    }
    assert sorted(messages - known) == []


# --- What people get ----------------------------------------------------------------------------
REFUSALS = [
    ("/api/nothing", 1010, "内容不存在。", "There is nothing here."),
    ("/api/user/profile", 1006, "请重新登录。", "Please sign in again."),
    (
        "/api/exchange/products?min_points=a",
        1011,
        "以下字段有误：min_points。",
        "Some fields are not right: min_points.",
    ),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "code", "chinese", "english"), REFUSALS)
def test_the_api_says_no_in_the_language_asked_for(path, code, chinese, english):
    for headers, message in (
        ({}, chinese),
        ({"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}, chinese),
        ({"Accept-Language": "fr"}, chinese),
        ({"Accept-Language": "en-GB,en;q=0.9"}, english),
    ):
        response = client_of().get(path, headers=headers)
        refused(response, code)
        assert response.json()["msg"] == message


@pytest.mark.django_db
def test_the_reasons_that_drf_gives_are_translated_as_well():
    path = "/api/exchange/products?min_points=a"

    chinese = refused(client_of().get(path), 1011)
    english = refused(client_of().get(path, headers={"Accept-Language": "en"}), 1011)

    assert chinese == {"min_points": ["请填写合法的整数值。"]}
    assert english == {"min_points": ["A valid integer is required."]}


class Texts(HTMLParser):
    """What a page shows or reads out: its texts and the attributes that people meet."""

    def __init__(self, page):
        super().__init__()
        self.found = set()
        self.inside = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        is_icon = "material-symbols-outlined" in (dict(attrs).get("class") or "")
        self.inside.append("icon" if is_icon else tag)
        shown = ("title", "placeholder", "aria-label", "alt")
        self.found |= {value.strip() for name, value in attrs if name in shown and value}

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() not in (tag, "icon"):
            pass  # an element that has no end tag

    def handle_data(self, data):
        if data.strip() and not {"script", "style", "icon"} & set(self.inside):
            self.found.add(data.strip())


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path", ["/admin/", "/admin/catalog/product/", "/admin/accounts/user/add/"]
)
def test_the_console_shows_the_words_of_one_language(client, path):
    client.force_login(User.objects.create_superuser("admin", "password"))
    words = {message for message, _is_plural in theme_messages() | our_messages()}
    # A language is named in itself, and a choice's value may be an English word.
    words -= {"English"}

    chinese = Texts(client.get(path).content.decode()).found
    english = Texts(client.get(path, headers={"Accept-Language": "en"}).content.decode()).found

    assert chinese & words == set()
    assert len(english & words) > 20
    assert {text for text in english if CHINESE.search(text)} == {"简体中文"}
    assert {"商家管理后台", "积分流水"} <= chinese
    assert {"Shop console", "Points ledger"} <= english


@pytest.mark.django_db
def test_the_start_page_shows_the_words_of_one_language(client):
    chinese = Texts(client.get("/").content.decode()).found
    english = Texts(client.get("/", headers={"Accept-Language": "en"}).content.decode()).found

    assert {text for text in chinese if not CHINESE.search(text)} == {"English"}
    assert {text for text in english if CHINESE.search(text)} == {"简体中文"}


OUR_APPS = {
    app.name for app in apps.get_app_configs() if Path(app.path).parent == settings.BASE_DIR
}
OUR_COMMANDS = sorted((app, name) for name, app in get_commands().items() if app in OUR_APPS)


def help_of(app, name):
    """What `--help` says about a command and its own options, in the language of the moment."""

    def texts(command):
        parser = command.create_parser("manage.py", name)
        return [parser.description, *(action.help for action in parser._actions)]

    common = texts(BaseCommand())
    return [text for text in texts(load_command_class(app, name)) if text not in common]


@pytest.mark.parametrize(("app", "name"), OUR_COMMANDS, ids=[name for _app, name in OUR_COMMANDS])
def test_commands_are_explained_in_both_languages(app, name):
    with translation.override("zh-hans"):
        chinese = help_of(app, name)
    with translation.override("en"):
        english = help_of(app, name)

    assert len(chinese) == len(english) >= 1
    assert [text for text in chinese if not CHINESE.search(text)] == []
    assert [text for text in english if CHINESE.search(text)] == []


def test_every_command_of_ours_is_found():
    assert {name for _app, name in OUR_COMMANDS} >= {
        "check_integrity",
        "seed_demo",
        "serve",
        "worker",
    }


@pytest.mark.django_db
def test_commands_speak_the_language_of_the_deployment():
    said = []
    for language in ("zh-hans", "en"):
        output = io.StringIO()
        with translation.override(language):
            call_command("check_integrity", stdout=output)
        said.append(output.getvalue())

    assert said[0].endswith("完整性检查全部通过。\n")
    assert said[1].endswith("All of it holds.\n")
