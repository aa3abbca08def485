"""Recompute draws from their proofs; imports nothing of the platform.

Reads what GET /api/lottery/draws/{draw_id}/proof answers, from the file named or else from standard
input, with or without the envelope: one, a list, or one on each line. Of draws with one server seed
it also wants every nonce between the first and the last one, once, and one client seed. Exits 1
naming what is wrong.

Recomputing shows that a draw follows from its seeds. That nobody chose them it shows only where the
client seed is your own and was new to the server: below the result stands for which ones it is not.
`client_seed_by` is the server's word; compare the client seeds with those that you sent.
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
    if proof.get("client_seed_by", "client") not in {"client", "server"}:
        yield "client_seed_by is neither client nor server"
    if ticket != proof["ticket"]:
        yield f"ticket {proof['ticket']}, recomputed {ticket}"
    prizes, gone, threshold = proof["prizes"], proof["stock_out"], proof["threshold"]
    if sum(weight(prize) for prize in prizes) != 10000:
        yield "the weights do not add up to 10000"
    is_pity = threshold is not None and proof["pity_before"] >= threshold - 1
    if is_pity != proof["is_pity"]:
        yield f"is_pity {proof['is_pity']}, recomputed {is_pity}"
    landed, pity = walk(prizes, ticket), [prize for prize in prizes if prize["is_pity_prize"]]
    within_reach = {prize["prize_id"] for prize in pity} if is_pity else {landed}
    if not set(gone) <= within_reach - {proof["fallback_prize_id"]}:
        yield f"stock_out {gone} names a prize that cannot be gone or was not within reach"
    outcome = proof["fallback_prize_id"] if landed in gone else landed
    if is_pity:
        left = [prize for prize in pity if prize["prize_id"] not in gone]
        outcome = walk(left, ticket * sum(weight(prize) for prize in left) // 10000)
    if outcome != proof["outcome"]:
        yield f"outcome {proof['outcome']}, recomputed {outcome}"


def limits(proofs):
    """Yield each client seed that the server may have known when it made its own."""
    server_seeds = {}
    for proof in proofs:
        of_whom = proof["client_seed"], proof.get("client_seed_by", "nobody named")
        server_seeds.setdefault(of_whom, set()).add(proof["server_seed_hash"])
    for (client_seed, maker), hashes in server_seeds.items():
        if maker != "client":
            yield f"client seed {client_seed!a} of {maker}: this shows consistency, not fairness"
        elif len(hashes) > 1:
            met = f"client seed {client_seed!a} of client met {len(hashes)} server seeds"
            yield f"{met}: for all but the first this shows consistency, not fairness"


def verify(text):
    """Return the proofs and everything that is wrong with them."""
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
        if one["server_seed_hash"] == two["server_seed_hash"]:
            if two["nonce"] != one["nonce"] + 1:
                wrong.append(f"draw {two['draw_id']}: nonce {two['nonce']} follows {one['nonce']}")
            if two.get("client_seed") != one.get("client_seed"):
                wrong.append(f"draw {two['draw_id']}: another client seed with this server seed")
    return proofs, wrong


if __name__ == "__main__":
    draws, problems = verify(Path(sys.argv[1]).read_text() if sys.argv[1:] else sys.stdin.read())
    lines = problems or [f"{len(draws)} draws recompute", *limits(draws)]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(1 if problems or not draws else 0)
