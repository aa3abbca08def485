"""Say of the seeds there are which ones came from clients, as far as that can be proven.

The server makes 32 hexadecimal digits, so whatever has another form came from a client. What has
that form may be either's, and nothing that was kept tells them apart: it stays the server's. A
client that sent such a seed is told less than is true and sends a new one; the other way round, a
proof would claim a fairness that nobody can show.
"""

from django.db import migrations

FORM_OF_THE_SERVERS = r"\A[0-9a-f]{32}\Z"


def name_clients(apps, schema_editor):
    pairs = apps.get_model("lottery", "SeedPair").objects.using(schema_editor.connection.alias)
    of_clients = pairs.exclude(client_seed="").exclude(client_seed__regex=FORM_OF_THE_SERVERS)
    of_clients.update(client_seed_by="client")


class Migration(migrations.Migration):
    dependencies = [("lottery", "0006_client_seed_by")]

    # Back again there is nothing to undo: the column goes with the migration before.
    operations = [migrations.RunPython(name_clients, migrations.RunPython.noop)]
