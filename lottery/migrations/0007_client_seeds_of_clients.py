"""Say of the seeds there are which ones came from clients, as far as that can be proven.

The server makes 32 hexadecimal digits, so whatever has another form came from a client. What has
that form may be either's, and nothing that was kept tells them apart: it stays the server's. A
client that sent such a seed is told less than is true and sends a new one; the other way round, a
proof would claim a fairness that nobody can show.

Each batch is committed by itself: all at once they could take longer than a statement may, and
would keep everybody who draws waiting. Stopped in between, it can be begun again.
"""

from django.db import migrations

FORM_OF_THE_SERVERS = r"\A[0-9a-f]{32}\Z"
BATCH_SIZE = 1000  # pairs that are looked at in one statement


def name_clients(apps, schema_editor):
    pairs = apps.get_model("lottery", "SeedPair").objects.using(schema_editor.connection.alias)
    of_clients = pairs.exclude(client_seed="").exclude(client_seed__regex=FORM_OF_THE_SERVERS)
    last = 0
    while pks := pairs.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:BATCH_SIZE]:
        first, last = last, max(pks)
        of_clients.filter(pk__gt=first, pk__lte=last).update(client_seed_by="client")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("lottery", "0006_client_seed_by")]

    # Back again there is nothing to undo: the column goes with the migration before.
    operations = [migrations.RunPython(name_clients, migrations.RunPython.noop)]
