"""Every way in which favorites can say no."""

from django.utils.translation import gettext_lazy as _

from ops.errors import DomainError


class FavoriteNotFound(DomainError):
    code, status = 7001, 404
    message = _("This product does not exist.")
