"""The keys of what clients read, as the contract of the API lists them."""

PRIZE_KEYS = {
    "prize_id",
    "prize_name",
    "prize_type",
    "prize_value",
    "angle",
    "color",
    "probability",
    "is_activity",
    "is_pity_prize",
    "special_effect",
}
DRAW_KEYS = {
    "draw_id",
    "wheel_id",
    "prize",
    "angle",
    "is_pity",
    "near_miss",
    "order",
    "nonce",
    "ticket",
}
