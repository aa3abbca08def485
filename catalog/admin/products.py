from django import forms
from django.contrib import admin
from django.core.files.uploadedfile import UploadedFile
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from catalog.errors import NotAPicture
from catalog.limits import LONGEST_REASON
from catalog.models import (
    Product,
    ProductImage,
    StockOperation,
)
from catalog.services import pictures, stock, virtual_codes
from ops.admin_base import BookingForm, EditAdmin, EditInline, book_once
from ops.errors import DomainError, Unavailable
from ops.models import StoredFile
from ops.services import files
from ops.services.pictures import in_turn
from ops.walls import OfShop


class PictureForm(forms.ModelForm):
    stands_for = {"picture": "file"}

    picture = forms.FileField(label=_("picture"), required=False)

    class Meta:
        model = ProductImage
        fields = ["picture", "position"]

    def clean_picture(self):
        sent = self.cleaned_data["picture"]
        if not sent and self.instance.pk is None:
            raise forms.ValidationError(_("Choose a picture."))
        if sent and sent.refusal:
            raise forms.ValidationError(str(sent.refusal)) from sent.refusal
        return sent

    def save(self, commit=True):
        if sent := self.cleaned_data["picture"]:
            files.make_permanent(*sent.stored)
            self.instance.file, self.instance.thumbnail = sent.stored
        return super().save(commit)


class SentPicture(UploadedFile):
    """A picture of a form, read and stored already; temporary until a product has it."""

    def __init__(self, sent):
        super().__init__(sent.file, sent.name, sent.content_type, sent.size)
        self._sent = sent
        self.stored: tuple[StoredFile, ...] = ()
        self.refusal: DomainError | None = None
        try:
            renditions = in_turn(self._read)
            self.stored = pictures.store_picture(renditions, name=sent.name)
        except (NotAPicture, Unavailable) as error:
            self.refusal = error

    def _read(self):
        # One byte more than is taken is enough to tell that there are too many.
        return pictures.read_picture(self._sent.read(pictures.largest_picture() + 1))


class ProductImageInline(EditInline):
    model = ProductImage
    form = PictureForm
    extra = 0


class StockForm(BookingForm):
    """What the console asks for before it changes the stock."""

    quantity = forms.IntegerField(
        label=_("quantity"),
        help_text=_("Negative to take units out."),
        widget=UnfoldAdminIntegerFieldWidget,
    )
    operation = forms.ChoiceField(
        label=_("operation"),
        choices=[
            (operation.value, operation.label)
            for operation in (StockOperation.RESTOCK, StockOperation.ADMIN_ADJUST)
        ],
        widget=forms.RadioSelect,
        initial=StockOperation.RESTOCK,
    )
    reason = forms.CharField(
        label=_("reason"), max_length=LONGEST_REASON, widget=UnfoldAdminTextInputWidget
    )

    def clean(self):
        wanted = super().clean()
        quantity = wanted.get("quantity")
        if quantity == 0:
            self.add_error("quantity", _("This changes nothing."))
        if quantity and quantity < 0 and wanted.get("operation") == StockOperation.RESTOCK:
            self.add_error("quantity", _("To take units out, choose the adjustment."))
        return wanted


class CodesForm(BookingForm):
    codes = forms.CharField(
        label=_("codes"), help_text=_("One in each line."), widget=UnfoldAdminTextareaWidget
    )


@admin.register(Product)
class ProductAdmin(EditAdmin):
    wall = OfShop("shop")
    list_display = [
        "name",
        "shop",
        "category",
        "kind",
        "points_price",
        "stock",
        "sales_count",
        "status",
        "is_listed",
    ]
    list_filter = ["status", "kind", "is_listed", "shop", "category"]
    list_select_related = ["shop", "category"]
    search_fields = ["name", "description"]
    ordering = ["-id"]
    # Stock is no field of the form: it changes by entries of its ledger alone.
    readonly_fields = ["stock", "stock_version", "sales_count", "created_at", "updated_at"]
    fieldsets = [
        (None, {"fields": ["shop", "category", "name", "description", "kind"]}),
        (_("Price"), {"fields": ["points_price", "market_price", "limit_per_person"]}),
        (_("In the mall"), {"fields": ["status", "is_listed", "on_sale_from", "on_sale_until"]}),
        (_("Stock"), {"fields": ["stock", "stock_version", "sales_count"]}),
        (_("Dates"), {"fields": ["created_at", "updated_at"]}),
    ]
    inlines = [ProductImageInline]
    actions_detail = ["change_stock", "add_codes"]

    def has_stock_permission(self, request, product=None):
        return self.may(request, "stock", product)

    def get_readonly_fields(self, request, obj=None):
        # The stock of a virtual product is its codes, so the kind stays what it was.
        return [*super().get_readonly_fields(request, obj), *(["kind"] if obj else [])]

    def changeform_view(self, request, object_id=None, *args, **options):
        """Store the pictures of a form before its product is held: whoever buys it would wait."""
        may_write = self.has_change_permission if object_id else self.has_add_permission
        sent = request.FILES if may_write(request, object_id) else {}
        for name in sent:
            sent[name] = SentPicture(sent[name])
        answer = super().changeform_view(request, object_id, *args, **options)
        for picture in sent.values():
            files.discard(*picture.stored)  # what a product has by now stays
        return answer

    @action(
        description=_("Change stock"),
        permissions=["stock"],
        dialog={"title": _("Change stock"), "form_class": StockForm},
    )
    def change_stock(self, request, form, object_id):
        wanted = form.cleaned_data

        def book():
            stock.change_stock(
                product_id=self.pk_in_address(object_id),
                quantity=wanted["quantity"],
                operation=StockOperation(wanted["operation"]),
                author_id=request.user.pk,
                reason=wanted["reason"],
            )

        return self._book_once(request, form, object_id, book=book)

    @action(
        description=_("Add codes"),
        permissions=["stock"],
        dialog={
            "title": _("Add codes"),
            "description": _("Codes that were loaded before are left out."),
            "form_class": CodesForm,
        },
    )
    def add_codes(self, request, form, object_id):
        def book():
            virtual_codes.add_codes(
                product_id=self.pk_in_address(object_id),
                codes=form.cleaned_data["codes"].splitlines(),
                author_id=request.user.pk,
            )

        return self._book_once(request, form, object_id, book=book)

    def _book_once(self, request, form, object_id, *, book):
        return book_once(
            self,
            request,
            form,
            book=book,
            success=lambda: _("The stock was changed."),
            back_to=reverse("admin:catalog_product_change", args=[object_id]),
        )
