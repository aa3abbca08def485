import json
import re

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.command_base import TranslatedCommand, moment_of
from ops.models import AuditEntry

PERSON = re.compile(r"\A\d{1,18}\Z")
OBJECT = re.compile(r"\A([a-z_]+\.[a-z_]+)(?::(.+))?\Z")
NEWEST = 100  # entries that are shown unless it is said


class Command(TranslatedCommand):
    help = gettext_noop("Show who changed what, the newest last.")

    def add_arguments(self, parser):
        parser.add_argument(
            "--since",
            metavar="WHEN",
            help=_("a day (2026-11-01), a time (2026-11-01T09:30) or so long ago (90m, 24h, 7d)"),
        )
        parser.add_argument(
            "--actor", help=_("the id of a person, or name@host of whoever ran a command")
        )
        parser.add_argument("--object", help=_("such as catalog.order:12, or catalog.order alone"))
        parser.add_argument("--json", action="store_true", help=_("a JSON object in each line"))
        parser.add_argument(
            "--limit",
            type=int,
            default=NEWEST,
            help=_("so many of the newest; %(default)s unless it is said"),
        )

    def handle(self, *, since, actor, limit, **options):
        if limit < 1:
            raise CommandError(_("--limit: a whole number from 1 on."))
        entries = AuditEntry.objects.order_by("-created_at", "-id")
        if since is not None:
            entries = entries.filter(created_at__gte=moment_of(since))
        if actor is not None:
            entries = entries.filter(**facts_of_actor(actor))
        if options["object"] is not None:
            entries = entries.filter(**facts_of_object(options["object"]))
        say = as_json if options["json"] else as_line
        for entry in reversed(entries[:limit]):
            self.stdout.write(say(entry))


def facts_of_actor(actor):
    """How the entries of an actor are found."""
    if PERSON.match(actor):
        return {"actor_id": int(actor)}
    if "@" in actor:
        return {"system_user": actor}
    raise CommandError(_("--actor: write the id of a person (12), or name@host for commands."))


def facts_of_object(name):
    """How the entries about an object, or all of its kind, are found."""
    if (meant := OBJECT.match(name.lower())) is None:
        raise CommandError(_("--object: write kind and id (catalog.order:12), or the kind alone."))
    kind, pk = meant.groups()
    return {"object_type": kind} if pk is None else {"object_type": kind, "object_id": pk}


def as_json(entry):
    return json.dumps(
        {
            "time": entry.created_at.isoformat(),
            "actor": entry.actor_name,
            "number": entry.sequence,
            "action": entry.action,
            "object": entry.object_name,
            "shop_id": entry.shop_id,
            "changes": {
                column: {"before": before, "after": after}
                for column, before, after in entry.changes
            },
            "reason": entry.reason,
            "address": entry.address,
            "request_id": entry.request_id,
        },
        ensure_ascii=False,
    )


def as_line(entry):
    """One line for people; what was typed by somebody stands in quotes, so that it stays one."""
    moment = timezone.localtime(entry.created_at).strftime("%Y-%m-%d %H:%M:%S")
    said = [f"{moment}  {entry.actor_name}  {entry.action}  {entry.object_name}"]
    said += [
        f"{column}: {quoted(before)} → {quoted(after)}" for column, before, after in entry.changes
    ]
    told = (
        (_("reason"), entry.reason and quoted(entry.reason)),
        (_("shop"), entry.shop_id),
        (_("from"), entry.address),
        (_("request"), entry.request_id),
    )
    said += [f"{name} {fact}" for name, fact in told if fact]
    return "; ".join(said)


def quoted(value):
    return json.dumps(value, ensure_ascii=False)
