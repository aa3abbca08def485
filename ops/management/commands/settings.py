import json

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.command_base import TranslatedCommand
from ops.errors import NoSuchSetting, SettingRefused
from ops.services import live_settings

REFUSED, UNKNOWN = 1, 2  # exit codes


class Command(TranslatedCommand):
    help = gettext_noop("Show and change the live settings; exit code 1: refused, 2: no such key.")

    def add_arguments(self, parser):
        what = parser.add_subparsers(dest="what", required=True)
        of_all = what.add_parser("list", help=_("all settings: value, default, range"))
        of_all.add_argument("--json", action="store_true", help=_("a JSON object in each line"))
        for name, text in (
            ("get", _("the value of one")),
            ("set", _("store another value; every process has it within 5 seconds")),
            ("history", _("what one was changed to, by whom, the newest last")),
            ("reset", _("go back to the default")),
        ):
            of_one = what.add_parser(name, help=text)
            of_one.add_argument("key", metavar="KEY")
            if name == "set":
                of_one.add_argument("value", metavar="VALUE", help=_("such as 12, 30d, on"))
            if name in {"set", "reset"}:
                of_one.add_argument("--reason", default="", help=_("kept in the audit trail"))

    def handle(self, *, what, **options):
        try:
            getattr(self, f"{what}_")(**options)
        except NoSuchSetting as refusal:
            raise CommandError(str(refusal), returncode=UNKNOWN) from refusal
        except SettingRefused as refusal:
            raise CommandError(str(refusal), returncode=REFUSED) from refusal

    def list_(self, **options):
        for one in live_settings.standings():
            self.stdout.write(as_json(one) if options["json"] else as_line(one))

    def get_(self, *, key, **_options):
        live_settings.setting_named(key)
        (one,) = live_settings.standings(keys=[key])
        self.stdout.write(one.text)

    def set_(self, *, key, value, reason, **_options):
        read = live_settings.value_of_text(key=key, text=value)
        is_changed = live_settings.change(key=key, value=read, reason=reason)
        self.say(key, is_changed)

    def reset_(self, *, key, reason, **_options):
        self.say(key, live_settings.reset(key=key, reason=reason))

    def say(self, key, is_changed):
        text = _("%(key)s is changed.") if is_changed else _("%(key)s is so already.")
        self.stdout.write(text % {"key": key})

    def history_(self, *, key, **_options):
        earlier = live_settings.history(key)
        if not earlier:
            live_settings.setting_named(key)
        for one in reversed(earlier):
            moment = timezone.localtime(one.entry.created_at).strftime("%Y-%m-%d %H:%M:%S")
            said = [moment, one.entry.actor_name, one.text]
            said += [_("(default)")] if one.is_default else []
            said += [json.dumps(one.entry.reason, ensure_ascii=False)] if one.entry.reason else []
            self.stdout.write("  ".join(said))


def as_json(one):
    setting = one.setting
    return json.dumps(
        {
            "key": setting.key,
            "value": one.text,
            "default": one.default_text,
            "is_default": one.is_default,
            "range": setting.range,
            "unit": str(setting.unit),
            "group": str(setting.group),
            "is_public": setting.is_public,
            "environment": setting.environment,
        },
        ensure_ascii=False,
    )


def as_line(one):
    setting = one.setting
    value = f"{setting.key} = {one.text} {setting.unit}".strip()
    facts = [_("default %(value)s") % {"value": one.default_text}] if not one.is_default else []
    facts += [setting.range] if setting.range else []
    return f"{value}  ({'; '.join(facts)})  {setting.label}"
