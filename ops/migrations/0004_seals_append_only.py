from django.db import migrations

from ops.append_only import AppendOnly


class Migration(migrations.Migration):
    dependencies = [("ops", "0003_ledger_seals")]

    operations = [AppendOnly("LedgerSeal")]
