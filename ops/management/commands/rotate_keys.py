from django.core.management.base import BaseCommand, CommandError
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from ops.metrics import KEYS_RENEWED
from ops.services import events, key_ring, key_rotation, key_uses
from ops.services.missing_keys import missing_keys

IDS_SHOWN = 10


class Command(BaseCommand):
    @property
    def help(self):  # type: ignore[override]  # Django has an attribute here
        return _(
            "Encrypt and hash anew, under the newest keys, what older keys made, in batches that "
            "can be interrupted and repeated; then say of each older key whether it may go."
        )

    def add_arguments(self, parser):
        parser.add_argument(
            "--batch-size",
            type=int,
            default=key_rotation.BATCH_SIZE,
            help=_("Rows in a transaction; %(default)s unless it is said."),
        )

    def handle(self, *, batch_size, **options):
        if batch_size < 1:
            raise CommandError(_("A batch has at least one row."))
        self.told = {"renewed": 0, "unreadable": 0, "refused": 0}
        left = 0
        for name, use in key_uses.columns.items():
            if use.renewal:
                left += self.renew(name, use, batch_size)
        for verdict in key_rotation.verdicts():
            self.stdout.write(said_of(verdict))
        missing = missing_keys()
        for key in missing:
            self.stdout.write(key.sentence())
        events.record(KEYS_RENEWED, **self.told, keys_missing=len(missing))
        if left or missing:
            raise CommandError(_("Something is left that needs a look: see above."), returncode=1)

    def renew(self, name, use, batch_size):
        """Renew one column and say what became of it; returns how many rows could not be."""
        renewed, unreadable, refused = 0, [], []
        for batch in key_rotation.renew(use, batch_size=batch_size):
            renewed += batch.renewed
            unreadable += batch.unreadable
            refused += batch.refused
        self.told["renewed"] += renewed
        self.told["unreadable"] += len(unreadable)
        self.told["refused"] += len(refused)
        self.stdout.write(_("%(column)s: %(count)d made anew") % {"column": name, "count": renewed})
        if unreadable:
            said = _("no key of the ring opens %(count)d: %(ids)s")
            self.stdout.write("  " + said % facts_of(unreadable))
        if refused:
            said = _("%(count)d would be there twice: %(ids)s")
            self.stdout.write("  " + said % facts_of(refused))
        return len(unreadable) + len(refused)


def facts_of(ids):
    """How many, and the first of them."""
    shown = ", ".join(map(str, ids[:IDS_SHOWN]))
    return {"count": len(ids), "ids": shown + (" …" if len(ids) > IDS_SHOWN else "")}


def said_of(verdict):
    """The sentence about one key of the ring."""
    key = f"{key_ring.SETTINGS[verdict.purpose]} {verdict.key_id}"
    if verdict.is_newest:
        return _("%(key)s: the newest, in use") % {"key": key}
    if verdict.may_go:
        return _("%(key)s: may go") % {"key": key}
    said = _("%(key)s: has to stay for %(reasons)s")
    if verdict.lends_hash:
        said = _("%(key)s: has to stay, or be put at the end of HASH_KEYS, for %(reasons)s")
    return said % {"key": key, "reasons": ", ".join(reasons_of(verdict))}


def reasons_of(verdict):
    """What a key is needed for: rows, and what ends by itself."""
    for name, count in verdict.rows.items():
        is_for_ever = key_uses.columns[name].renewal is None
        said = _("%(what)s (%(count)d, for ever)") if is_for_ever else _("%(what)s (%(count)d)")
        yield said % {"what": name, "count": count}
    for name, alive in verdict.alive.items():
        if alive.until is None:
            said = _("%(what)s (%(count)d, until they are removed)")
            yield said % {"what": name, "count": alive.count}
        else:
            until = date_format(localtime(alive.until), "Y-m-d H:i:s")
            said = _("%(what)s (%(count)d, until %(until)s)")
            yield said % {"what": name, "count": alive.count, "until": until}
