"""How the console looks and where its sidebar leads: data for django-unfold, nothing else."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext_lazy as _


def _item(title: Any, icon: str, model: str) -> dict[str, Any]:
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app}.view_{name}"),
    }


def _page(title: Any, icon: str, address: str) -> dict[str, Any]:
    """A page of the platform's standing."""
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{address}"),
        "permission": lambda request: request.user.has_perm("ops.view_processbeat"),
    }


def _is_below(request: HttpRequest, page: str) -> bool:
    return request.path.startswith(reverse(f"admin:{page}"))


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": _("Shop console"),
    "SITE_HEADER": _("Shop console"),
    "SITE_SUBHEADER": _("Points, draws and exchange"),
    "SITE_SYMBOL": "storefront",
    "SITE_URL": "/",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("start/icon.svg")}
    ],
    "SCRIPTS": [lambda request: static("console/dialogs.js")],
    "ACCOUNT": {
        "navigation": [
            {"title": _("Change password"), "link": reverse_lazy("admin:password_change")},
            {"title": _("Second factor"), "link": reverse_lazy("admin:second_factor")},
        ],
    },
    "SHOW_LANGUAGES": True,
    "SHOW_BACK_BUTTON": True,
    "COLORS": {
        # The red of the start page and the wheel, in steps of one hue.
        "primary": {
            "50": "oklch(97.1% .013 17.38)",
            "100": "oklch(93.6% .032 17.717)",
            "200": "oklch(88.5% .062 18.334)",
            "300": "oklch(80.8% .114 19.571)",
            "400": "oklch(70.4% .191 22.216)",
            "500": "oklch(63.7% .237 25.331)",
            "600": "oklch(57.7% .245 27.325)",
            "700": "oklch(50.5% .213 27.518)",
            "800": "oklch(44.4% .177 26.899)",
            "900": "oklch(39.6% .141 25.723)",
            "950": "oklch(25.8% .092 26.042)",
        },
    },
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {
                "title": _("Every day"),
                "separator": True,
                "items": [
                    _item(_("Receipts"), "receipt_long", "reviews.receipt"),
                    {
                        **_item(_("Orders"), "shopping_bag", "catalog.order"),
                        # The counter's address lies below that of the orders.
                        "active": lambda request: (
                            _is_below(request, "catalog_order_changelist")
                            and not _is_below(request, "catalog_order_redeem")
                        ),
                    },
                    {
                        "title": _("Redeem a code"),
                        "icon": "qr_code_scanner",
                        "link": reverse_lazy("admin:catalog_order_redeem"),
                        "permission": lambda request: request.user.has_perm("catalog.redeem_order"),
                    },
                    _item(_("Draws"), "casino", "lottery.draw"),
                ],
            },
            {
                "title": _("Shop"),
                "separator": True,
                "items": [
                    _item(_("Products"), "inventory_2", "catalog.product"),
                    _item(_("Stock ledger"), "list_alt", "catalog.stockentry"),
                    _item(_("Categories"), "category", "catalog.category"),
                    _item(_("Product templates"), "content_copy", "catalog.producttemplate"),
                    _item(_("Selections"), "fact_check", "catalog.selection"),
                    _item(_("Virtual codes"), "confirmation_number", "catalog.virtualcode"),
                    _item(_("Shops"), "store", "catalog.shop"),
                    {
                        **_item(_("Shop members"), "badge", "catalog.shopmember"),
                        # One's own page lies below the list.
                        "active": lambda request: (
                            _is_below(request, "catalog_shopmember_changelist")
                            and not _is_below(request, "catalog_shopmember_mine")
                        ),
                    },
                    _item(_("Invitations"), "person_add", "catalog.shopinvitation"),
                    {
                        "title": _("Where I work"),
                        "icon": "work",
                        "link": reverse_lazy("admin:catalog_shopmember_mine"),
                        "permission": lambda request: request.user.is_staff,
                    },
                ],
            },
            {
                "title": _("Lottery"),
                "separator": True,
                "items": [
                    _item(_("Wheels"), "attractions", "lottery.wheel"),
                    _item(_("Published versions"), "history", "lottery.wheelversion"),
                    _item(_("Seeds"), "key", "lottery.seedpair"),
                ],
            },
            {
                "title": _("People"),
                "separator": True,
                "items": [
                    _item(_("People"), "group", "accounts.user"),
                    _item(_("Points ledger"), "receipt", "accounts.pointsentry"),
                    _item(_("Tiers"), "military_tech", "accounts.tier"),
                    _item(_("Devices"), "devices", "accounts.devicesession"),
                    _item(_("Console sign-ins"), "computer", "accounts.consoledevice"),
                    _item(_("Favorites"), "favorite", "favorites.favorite"),
                ],
            },
            {
                "title": _("Operations"),
                "separator": True,
                "collapsible": True,
                "items": [
                    _page(_("Status"), "monitor_heart", "ops_processbeat_status"),
                    _page(_("Maintenance"), "construction", "ops_processbeat_maintenance"),
                    _page(_("Database diagnosis"), "troubleshoot", "ops_processbeat_diagnosis"),
                    _item(_("Settings"), "tune", "ops.livesetting"),
                    _item(_("Audit trail"), "policy", "ops.auditentry"),
                    _item(_("Operational events"), "event_note", "ops.operationalevent"),
                    _item(_("Readings"), "document_scanner", "reviews.processrecord"),
                    _item(_("Periodic jobs"), "schedule", "ops.schedule"),
                    _item(_("Job runs"), "history_toggle_off", "ops.jobrun"),
                    _item(_("Errors"), "bug_report", "ops.errorgroup"),
                    _item(_("Failed rows"), "error", "ops.failedrow"),
                    _item(_("Files"), "folder", "ops.storedfile"),
                    _item(_("Alerts"), "notifications", "ops.alert"),
                    _item(_("Alert rules"), "rule", "ops.alertrule"),
                    _item(_("Alert channels"), "campaign", "ops.alertchannel"),
                    _item(_("Alert notices"), "outgoing_mail", "ops.alertnotice"),
                    _item(_("Backups"), "backup", "ops.backup"),
                    _item(_("Migration runs"), "upgrade", "ops.migrationrun"),
                    _item(_("Idempotency records"), "repeat_one", "ops.idempotencyrecord"),
                    _item(_("Seals"), "verified", "ops.ledgerseal"),
                ],
            },
        ],
    },
}
