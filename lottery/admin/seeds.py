from django.contrib import admin

from lottery.models import SeedPair
from ops.admin_base import ReadOnlyAdmin
from ops.walls import OfPlatform


@admin.register(SeedPair)
class SeedPairAdmin(ReadOnlyAdmin):
    wall = OfPlatform()
    # Never the server seed, not even encrypted; a revealed one stands in the proofs.
    fields = [
        "person",
        "server_seed_hash",
        "client_seed",
        "client_seed_by",
        "next_nonce",
        "state",
        "created_at",
        "activated_at",
        "revealed_at",
    ]
    list_display = [
        "person",
        "server_seed_hash",
        "client_seed_by",
        "next_nonce",
        "state",
        "activated_at",
    ]
    list_filter = ["state", "client_seed_by"]
    list_select_related = ["person"]
    search_fields = ["server_seed_hash", "=person__phone", "person__nickname"]
    search_permissions = {"=person__phone": "accounts.search_user"}
    ordering = ["-id"]
