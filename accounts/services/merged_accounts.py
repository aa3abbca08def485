"""Whose rows are whose after accounts were merged: read for the survivor, and never moved."""

from accounts.models import AccountMerge, User


def account_ids(person: User) -> list[int]:
    """The ids of a person's accounts: their own first, then those that were merged into it.

    It asks the database for those alone who have any.
    """
    own: int = person.pk
    if not person.merged_accounts:
        return [own]
    merged = User.objects.filter(merged_into=own).order_by("pk")
    return [own, *merged.values_list("pk", flat=True)]


def is_own(person: User, owner_id: int) -> bool:
    """Whether a row of this account is the person's: of their own, or of one merged into it."""
    return owner_id == person.pk or owner_id in account_ids(person)[1:]


def survivors() -> dict[int, list[int]]:
    """For each account that was merged: the ones it was merged into, one after the other.

    As the causes say it. In a circle, which only somebody can make who writes rows by hand, nobody
    is named twice.
    """
    into = dict(AccountMerge.objects.order_by("pk").values_list("merged", "survivor"))
    chains = {}
    for merged_id in into:
        chain: list[int] = []
        following = into.get(merged_id)
        while following is not None and following not in chain:
            chain.append(following)
            following = into.get(following)
        chains[merged_id] = chain
    return chains
