from django.contrib import admin
from django_tasks_db.models import DBTaskResult

# The queue's own page is neither in the theme's style nor in Chinese; what matters of a
# receipt's process is in its ProcessRecord.
admin.site.unregister(DBTaskResult)
