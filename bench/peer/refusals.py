"""How the peer says no: with the platform's codes."""


class Refusal(Exception):
    """Nothing was changed, and the caller is told by this code and status."""

    def __init__(self, code: int, status: int) -> None:
        super().__init__(code)
        self.code, self.status = code, status


class Moved(Exception):
    """What was read before the write is not true any more."""


def not_signed_in() -> Refusal:
    return Refusal(1006, 401)


def account_closed() -> Refusal:
    return Refusal(1005, 403)


def too_many_requests() -> Refusal:
    return Refusal(1013, 429)
