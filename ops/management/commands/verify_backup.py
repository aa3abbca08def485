from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.backups import media, proving, reading, shared_files
from ops.management.backup_command import BackupCommand, places_of, size_in_words


class Command(BackupCommand):
    help = gettext_noop(
        "Read a backup and all that it follows to their end, with the files they know, and compare "
        "them with their checksums and seals. Nothing is changed."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "identifier", metavar="ID", help=_("the identifier of the backup, as backups lists it")
        )
        parser.add_argument(
            "--from", dest="folder", metavar=_("FOLDER"), help=_("in this folder instead")
        )

        parser.add_argument(
            "--prove",
            action="store_true",
            help=_("restore it to a scratch database as well, and check everything there"),
        )

    def handle(self, *, identifier, folder, prove, **options):
        places = places_of(folder)
        having = [one for one in places if identifier in one.identifiers()] or places[:1]
        for place in having:
            self.verify(place, identifier)
        for place in places:
            if place not in having:
                self.stderr.write(
                    _("There is no backup %(backup)s in %(place)s.")
                    % {"backup": identifier, "place": place.name}
                )
        if prove:
            proof = proving.prove(
                identifier, place=having[0] if folder else None, told=self.say_step
            )
            self.say(_("Proven in %(seconds).1f s.") % {"seconds": proof.seconds_in_all})

    def verify(self, place, identifier):
        chain = reading.chain(place, identifier)
        for link in chain:
            link.verify()
        files = media.check(
            shared_files.listing(chain[-1]),
            open_file=shared_files.opener(place, chain[-1].manifest),
        )
        said = {
            "place": place.name,
            "id": identifier,
            "links": len(chain),
            "size": size_in_words(sum(link.manifest.size for link in chain)),
            "files": files,
        }
        self.say(
            _("%(place)s: %(id)s is whole (backups: %(links)d, %(size)s, files: %(files)d).") % said
        )
