from cryptography.fernet import InvalidToken
from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ops.command_base import TranslatedCommand
from ops.models import AlertChannel
from ops.monitoring import words
from ops.monitoring.channels import NotDelivered, Target, send


class Command(TranslatedCommand):
    help = gettext_noop(
        "Send a test message to every alert channel, or to one, and say who took it."
    )

    def add_arguments(self, parser):
        parser.add_argument("--channel", metavar="NAME", help=_("only to this one"))

    def handle(self, *, channel, **options):
        channels = AlertChannel.objects.order_by("name")
        chosen = [one for one in channels if (one.name == channel if channel else one.is_enabled)]
        if not chosen:
            known = ", ".join(one.name for one in channels) or "–"
            raise CommandError(_("There is no such channel. There are: %s") % known)
        failed = [one for one in chosen if not self.sends(one)]
        if failed:
            raise CommandError(
                _("%(failed)d of %(all)d did not take it.")
                % {"failed": len(failed), "all": len(chosen)}
            )

    def sends(self, channel):
        """Whether a channel takes the message; says so."""
        try:
            send(Target.of(channel), words.message_of_a_test())
        except (NotDelivered, InvalidToken) as error:
            why = str(error) or type(error).__name__
            self.stderr.write(f"{channel.name}: {why}")
            return False
        self.stdout.write(_("%s took it.") % channel.name)
        return True
