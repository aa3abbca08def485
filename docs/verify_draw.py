"""Recompute draws from their proofs; imports nothing of the platform.

Reads what GET /api/lottery/draws/{draw_id}/proof answers, from the file named or else from standard
input, with or without the envelope: one, a list, or one on each line. Of draws with one server seed
it also wants every nonce between the first and the last one, once. Exits 1 naming what is wrong.
"""

import hashlib
import hmac
import json
import sys
from decimal import Decimal
from itertools import pairwise
from pathlib import Path


def weight(prize):
    return int(Decimal(prize["probability"]) * 10000)


def walk(prizes, position):
    """The first prize, by angle, whose running weight exceeds the position."""
    for prize in sorted(prizes, key=lambda prize: prize["angle"]):
        position -= weight(prize)
        if position < 0:
            return prize["prize_id"]
    raise ValueError("the weights do not reach the ticket")


def check(proof):
    """Yield what is wrong with one draw."""
    seed = bytes.fromhex(proof["server_seed"])
    if len(seed) != 32 or hashlib.sha256(seed).hexdigest() != proof["server_seed_hash"]:
        yield "server_seed_hash is not the hash of server_seed"
    digest = hmac.digest(seed, f"{proof['client_seed']}:{proof['nonce']}".encode(), "sha256")
    ticket = (int.from_bytes(digest[:8], "big") * 10000) >> 64
    if ticket != proof["ticket"]:
        yield f"ticket {proof['ticket']}, recomputed {ticket}"
    prizes, gone, threshold = proof["prizes"], proof["stock_out"], proof["threshold"]
    if sum(weight(prize) for prize in prizes) != 10000:
        yield "the weights do not add up to 10000"
    is_pity = threshold is not None and proof["pity_before"] >= threshold - 1
    if is_pity != proof["is_pity"]:
        yield f"is_pity {proof['is_pity']}, recomputed {is_pity}"
    landed, pity = walk(prizes, ticket), [prize for prize in prizes if prize["is_pity_prize"]]
    if not set(gone) <= ({prize["prize_id"] for prize in pity} if is_pity else {landed}):
        yield f"stock_out {gone} names a prize that this draw could not give"
    outcome = proof["fallback_prize_id"] if landed in gone else landed
    if is_pity:
        left = [prize for prize in pity if prize["prize_id"] not in gone]
        outcome = walk(left, ticket * sum(weight(prize) for prize in left) // 10000)
    if outcome != proof["outcome"]:
        yield f"outcome {proof['outcome']}, recomputed {outcome}"


def verify(text):
    """Return how many proofs there are and everything that is wrong with them."""
    try:
        proofs = json.loads(text)
    except json.JSONDecodeError:
        proofs = [json.loads(line) for line in text.splitlines() if line.strip()]
    proofs = [p.get("data", p) for p in (proofs if isinstance(proofs, list) else [proofs])]
    proofs.sort(key=lambda proof: (proof["server_seed_hash"], proof["nonce"]))
    wrong = []
    for proof in proofs:
        try:
            wrong += [f"draw {proof['draw_id']}: {why}" for why in check(proof)]
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            wrong.append(f"draw {proof['draw_id']}: cannot be recomputed: {error!r}")
    for one, two in pairwise(proofs):
        if one["server_seed_hash"] == two["server_seed_hash"] and two["nonce"] != one["nonce"] + 1:
            wrong.append(f"draw {two['draw_id']}: nonce {two['nonce']} follows {one['nonce']}")
    return len(proofs), wrong


if __name__ == "__main__":
    count, problems = verify(Path(sys.argv[1]).read_text() if sys.argv[1:] else sys.stdin.read())
    sys.stdout.write("\n".join(problems or [f"{count} draws recompute"]) + "\n")
    sys.exit(1 if problems or not count else 0)
