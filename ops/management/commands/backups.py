import sys
from typing import Any

from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.backups import deployment, inventory
from ops.management.backup_command import BackupCommand, size_in_words
from ops.models import Backup


class Command(BackupCommand):
    help = gettext_noop(
        "List the backups that are there. With --check, end with 1 unless the newest proven one is "
        "younger than the schedule's pause and two hours."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--check", action="store_true", help=_("end with 1 unless a young one is proven")
        )
        parser.add_argument("--json", action="store_true", help=_("as JSON, for machines"))

    def handle(self, *, check, **options):
        now = timezone.now()
        listed, unreadable = self.look()
        proven = [one for one in listed if one["proven_at"]]
        newest = proven[-1] if proven else None
        allowed = deployment.oldest_allowed()
        is_good = newest is not None and now - newest["started_at"] <= allowed
        if options["json"]:
            self.say_json(
                {
                    "backups": [
                        {name: _plain(value) for name, value in one.items()} for one in listed
                    ],
                    "unreadable": unreadable,
                    "newest_proven": newest and newest["id"],
                    "oldest_allowed_seconds": allowed.total_seconds(),
                    "is_good": is_good,
                }
            )
        else:
            self.list(listed, unreadable)
            self.conclude(newest, now=now, allowed=allowed, is_good=is_good)
        if check and not is_good:
            sys.exit(1)

    def look(self):
        """The backups of all places, oldest first, with what their rows say of their proof."""
        found: dict[str, dict[str, Any]] = {}
        unreadable: dict[str, str] = {}
        for place in deployment.places():
            stored = inventory.known(place)
            unreadable |= stored.unreadable
            for one in stored.backups:
                manifest = one.manifest
                about = found.setdefault(
                    manifest.id,
                    {
                        "id": manifest.id,
                        "kind": manifest.kind,
                        "engine": manifest.engine,
                        "trigger": manifest.trigger,
                        "parent": manifest.parent,
                        "started_at": manifest.started_at,
                        "seconds": round(manifest.seconds, 3),
                        "size": manifest.size,
                        "proven_at": None,
                        "proof_seconds": None,
                        "places": [],
                        "is_whole": False,
                    },
                )
                about["places"].append(place.name)
                about["is_whole"] |= stored.chain(manifest.id) is not None
        for row in Backup.objects.filter(identifier__in=found):
            if found[row.identifier]["is_whole"]:
                found[row.identifier]["proven_at"] = row.proven_at
                found[row.identifier]["proof_seconds"] = row.proof_seconds
        return [found[one] for one in sorted(found)], unreadable

    def list(self, listed, unreadable):
        for one in listed:
            if not one["is_whole"]:
                state = _("a backup that it follows is missing")
            elif one["proven_at"]:
                state = _("proven")
            else:
                state = _("not proven")
            self.say(
                f"{one['id']}  {one['kind']:<13}  {one['trigger']:<9}  "
                f"{size_in_words(one['size']):>9}  {state}  {', '.join(one['places'])}"
            )
        for reason in unreadable.values():
            self.stderr.write(reason)

    def conclude(self, newest, *, now, allowed, is_good):
        if newest is None:
            self.say(_("No backup is proven."))
            return
        said = {"id": newest["id"], "age": timesince(newest["started_at"], now)}
        if is_good:
            self.say(_("The newest proven one is %(id)s, %(age)s old.") % said)
        else:
            hours = allowed.total_seconds() / 3600
            self.say(
                _("The newest proven one is %(id)s, %(age)s old: more than %(hours)d hours.")
                % {**said, "hours": hours}
            )


def _plain(value):
    return value.isoformat() if hasattr(value, "isoformat") else value
