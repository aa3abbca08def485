"""Texts that makemessages does not find by itself, so that locale/ has them.

Most of them belong to packages that have no Chinese for them; ours wins over theirs, because
LOCALE_PATHS comes last. A test (config/tests/test_languages.py) fails when an update of the theme
brings a text that has no Chinese. Nothing imports this module; library_texts.js does the same for
scripts.
"""

from django.utils.translation import gettext_noop as _
from django.utils.translation import ngettext_lazy

# What django-unfold shows, where Django itself has no Chinese for the same words.
THEME = (
    _("Select record"),
    _("Select action"),
    _("Select action to run"),
    _("Run the selected action"),
    _(
        "Raw passwords are not stored, so there is no way to see this user’s password, but you can "
        'change the password using <a href="{}" class="text-primary-600 '
        'dark:text-primary-500">this form</a>.'
    ),
    _("Dataset not found. No action performed."),
    _("Select value"),
    _(
        'Field <strong class="font-semibold">{field_name}</strong> is not an autocomplete field. '
        "Please add it to the `autocomplete_fields` list."
    ),
    _("You can not create nested object without parent"),
    _("After you've created a user, you’ll be able to edit more user options."),
    _(
        "Deleting the %(object_name)s '%(escaped_object)s' would result in deleting related "
        "objects, but your account doesn't have permission to delete the following types of "
        "objects:"
    ),
    _(
        "Deleting the %(object_name)s '%(escaped_object)s' would require deleting the following "
        "protected related objects:"
    ),
    _(
        'Are you sure you want to delete the %(object_name)s "%(escaped_object)s"? All of the '
        "following related items will be deleted:"
    ),
    _("Welcome back to"),
    _("Forgotten your password or username?"),
    _("You have been successfully logged out from the administration"),
    _("Return to site"),
    _("Type to search"),
    _("Search apps and models..."),
    _("Recent searches"),
    _("Nothing matched your search"),
    ngettext_lazy(
        '\n            Found <span class="font-medium text-important">%(counter)s</span> result'
        " in %(time)s seconds\n        ",
        '\n            Found <span class="font-medium text-important">%(counter)s</span> results'
        " in %(time)s seconds\n        ",
        "counter",
    ),
    _("No data"),
    _("No results found"),
    _("This page yielded into no results."),
    _("All applications"),
    _("True"),
    _("False"),
    _("Apply Filters"),
    _("Reset filters"),
    _("Navigate"),
    _("Select"),
    _("Cancel"),
    _("Submit"),
    _("Record picture"),
    _("This item will be deleted."),
    _("Click to cancel"),
    _("Image preview"),
    _("Click to download"),
    _("Choose file to upload"),
    _("Go back"),
    _("Previous"),
    _("Next"),
    _("General"),
    _("Available shortcuts"),
    _("Global shortcuts"),
    _("Open command tool"),
    _("Open shortcuts list"),
    _("Toggle sidebar"),
    _("Toggle dark/light mode"),
    _("Changelist shortcuts"),
    _("Toggle filter"),
    _("Create new record"),
    _("Command tool shortcuts"),
    _("Open selection"),
    _("Open selection in new tab"),
    _("Light"),
    _("Dark"),
    _("System"),
    _("Toggle password visibility"),
    _("Add row"),
    _("Date"),
    _("Select currency"),
)

# What Django and DRF gained after their last Chinese translation, or say too shortly.
FRAMEWORKS = (
    _("group"),
    _("groups"),
    _("- Select an option -"),
    _("Filter by %(field_name)s"),
    _("Logout"),
    _('The app "%s" could not be found.'),
    ngettext_lazy("…and %(count)d more object.", "…and %(count)d more objects.", "count"),
    _("“%(value)s” is not a valid binary value."),
    _("No %s matches the given query."),
    _("A valid biginteger is required."),
    _("Integer value too large to convert to float"),
)

# The queue of background work (django-tasks-db).
QUEUE = (
    _("Task Result"),
    _("Task Results"),
    _("enqueued at"),
    _("args kwargs"),
    _("priority"),
    _("task path"),
    _("worker id"),
    _("queue name"),
    _("backend name"),
    _("run after"),
    _("return value"),
    _("exception class path"),
    _("traceback"),
)
