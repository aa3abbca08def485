"""Pages for people who come from a letter: no sign-in, no cookie, no script."""

from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from accounts.errors import EmailLinkVoid, EmailTaken
from accounts.services import emails

# What stands in the address opens something: nobody keeps it, and no other site is told of it.
HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


# The address is the proof: a forged request would have to know it. A cookie against forgery would
# only keep out the browser inside of a mail app that takes none.
@method_decorator(csrf_exempt, name="dispatch")
class EmailLinkView(View):
    """Asks whether an address is to be confirmed, and confirms it by a button.

    To open the page changes nothing: mail servers and apps look at every link before people do.
    """

    http_method_names = ["get", "head", "post"]

    def get(self, request, token):
        try:
            link = emails.link_named(token)
        except EmailLinkVoid as refusal:
            return _page(request, status=refusal.status, refusal=refusal)
        return _page(request, link=link)

    def post(self, request, token):
        try:
            person = emails.confirm(token=token)
        except (EmailLinkVoid, EmailTaken) as refusal:
            return _page(request, status=refusal.status, refusal=refusal)
        return _page(request, confirmed=person.masked_email)


def _page(request, *, status=200, **context):
    answer = render(request, "accounts/email_link.html", context, status=status)
    for name, value in HEADERS.items():
        answer[name] = value
    return answer
