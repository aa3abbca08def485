"""The settings of the platform: all of them by group, and a page for each."""

from functools import partial
from itertools import groupby

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext_lazy as _

from ops import admin_trail
from ops.access import access_of
from ops.admin_base import ReadOnlyAdmin, change_page
from ops.errors import DomainError
from ops.models import LiveSetting
from ops.services import live_settings
from ops.setting_kinds import Structure, Switch, Text, declared
from ops.walls import OfPlatform

LONGEST_REASON = 500  # characters


@admin.register(LiveSetting)
class LiveSettingAdmin(ReadOnlyAdmin):
    """Shows what is declared, not only what is stored; what is changed goes by the service."""

    wall = OfPlatform()
    search_fields = ["key"]
    change_list_template = "admin/ops/livesetting/change_list.html"

    def may_set(self, request):
        return access_of(request.user).may_everywhere(self.permission("change"))

    # --- All of them -----------------------------------------------------------------------
    def changelist_view(self, request, extra_context=None):
        shown = [Shown(one) for one in live_settings.standings()]
        admin_trail.name_people(one.entry for one in shown if one.entry)
        found = [one for one in shown if one.is_found_by(request.GET.get("q", ""))]
        groups = [
            (name, list(of_group))
            for name, of_group in groupby(sorted(found, key=group), key=group)
        ]
        context = {"groups": groups, "asked": request.GET.get("q", "")}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def get_object(self, request, object_id, from_field=None):
        """PostgreSQL would not even look for a key with NUL."""
        if "\x00" in object_id:
            return None
        return super().get_object(request, object_id, from_field)

    # --- One of them -----------------------------------------------------------------------
    def changeform_view(self, request, object_id=None, *args, **options):
        key = unquote(object_id or "")
        if request.method == "POST" or key not in declared.names():
            return super().changeform_view(request, object_id, *args, **options)
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._page(request, key)

    def get_urls(self):
        name = f"{self.opts.app_label}_{self.opts.model_name}_set"
        view = self.admin_site.admin_view(self.set_view)
        return [path("set/<path:key>/", view, name=name), *super().get_urls()]

    def set_view(self, request, key):
        """Take a new value, an earlier one (`back_to`) or the default (`reset`)."""
        if not self.may_set(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        key = unquote(key)
        if key not in declared.names():
            raise Http404
        facts = {
            "key": key,
            "reason": request.POST.get("reason", "").strip()[:LONGEST_REASON],
            "instead_of": request.POST.get("shown", ""),
        }
        if "reset" in request.POST:
            change = partial(live_settings.reset, **facts)
        elif "back_to" in request.POST:
            change = self._back_to(request.POST["back_to"], facts)
        else:
            return self._set(request, facts, request.POST.get("value", ""))
        change_page(
            self, request, change=change, success=partial(str, _("The setting is changed."))
        )
        return redirect(address_of(key))

    def _set(self, request, facts, text):
        """A value that is refused stays in its field, beside the reason."""
        key = facts["key"]
        try:
            value = live_settings.value_of_text(key=key, text=text)
            live_settings.change(**facts, value=value)
        except DomainError as refusal:
            return self._page(request, key, typed=text, why=refusal.facts.get("why", refusal))
        self.message_user(request, str(_("The setting is changed.")))
        return redirect(address_of(key))

    def _back_to(self, entry_id, facts):
        """The change that lets a setting be again what it became by an entry of the trail."""
        for earlier in live_settings.history(facts["key"]):
            if str(earlier.entry.pk) == entry_id:
                if earlier.is_default:
                    return partial(live_settings.reset, **facts)
                return partial(self._change_to_text, facts, earlier.text)
        raise Http404

    def _change_to_text(self, facts, text):
        value = live_settings.value_of_text(key=facts["key"], text=text)
        live_settings.change(**facts, value=value)

    def _page(self, request, key, *, typed=None, why=""):
        (standing,) = live_settings.standings(keys=[key])
        earlier = live_settings.history(key)
        entries = [one.entry for one in earlier]
        admin_trail.name_people([*entries, *([standing.entry] if standing.entry else [])])
        shown = Shown(standing)
        context = {
            **self.admin_site.each_context(request),
            "title": shown.setting.label,
            "opts": self.opts,
            "shown": shown,
            "typed": shown.text if typed is None else typed,
            "why": why,
            "may_set": self.may_set(request),
            "earlier": [(one, admin_trail.who(one.entry)) for one in earlier],
            "longest_reason": LONGEST_REASON,
        }
        return TemplateResponse(request, "admin/ops/livesetting/setting.html", context)


def address_of(key):
    return reverse("admin:ops_livesetting_change", args=[quote(key)])


class Shown:
    """A setting as the pages show it."""

    def __init__(self, standing):
        self.setting = standing.setting
        self.text = standing.text
        self.default_text = standing.default_text
        self.is_default = standing.is_default
        self.entry = standing.entry
        self.address = address_of(self.setting.key)
        self.set_address = reverse("admin:ops_livesetting_set", args=[quote(self.setting.key)])

    @property
    def who(self):
        return admin_trail.who(self.entry) if self.entry else ""

    @property
    def choices(self):
        """What there is to choose from; nothing where something is typed."""
        if isinstance(self.setting, Switch):
            return ["on", "off"]
        return list(self.setting.choices) if isinstance(self.setting, Text) else []

    @property
    def is_long(self):
        return isinstance(self.setting, Structure)

    def is_found_by(self, search):
        """Whether every word of a search stands in its key, its name, its group or what it is."""
        said = self.setting
        texts = f"{said.key} {said.group} {said.label} {said.description} {said.environment}"
        return all(word in texts.casefold() for word in search.casefold().split())


def group(shown):
    return str(shown.setting.group)
