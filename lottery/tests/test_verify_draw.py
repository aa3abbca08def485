"""docs/verify_draw.py as anybody would run it: a process of its own that knows nothing of ours."""

import ast
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from rest_framework.renderers import JSONRenderer

from catalog.tests.factories import make_product
from lottery import serializers
from lottery.decision import draw_ticket
from lottery.models import Draw, PrizeType
from lottery.services import seeds
from lottery.services.draws import draw
from lottery.services.proofs import proof_of
from lottery.tests.factories import goods_prize, make_wheel, points_prize
from lottery.tests.tables import findings
from tests.people import make_person

VERIFIER = Path(settings.BASE_DIR) / "docs" / "verify_draw.py"


def run_verifier(text, *arguments, cwd):
    return subprocess.run(
        [sys.executable, "-I", VERIFIER, *arguments],
        input=text,
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=cwd,
    )


@pytest.fixture
def verify(tmp_path):
    return lambda text: run_verifier(text, cwd=tmp_path)


def proofs_of(person):
    draws = Draw.objects.filter(person=person)
    return [
        json.loads(
            JSONRenderer().render(
                serializers.ProofOutput(proof_of(draw_id=one.pk, viewer=person)).data
            )
        )
        for one in draws
    ]


@pytest.fixture
def proofs():
    """A few proofs of one person who sent a seed; pity and fallback are among them."""
    person = make_person(points=10_000)
    seeds.rotate(person_id=person.pk, client_seed="幸运")
    wheel = make_wheel(
        points_prize("1", probability="0.6", quantity=2),
        points_prize("1", probability="0.1", is_pity_prize=True),
        pity_threshold=4,
    )
    draw(person_id=person.pk, wheel_id=wheel.pk, count=10)
    draw(person_id=person.pk, wheel_id=wheel.pk, count=10)
    seeds.rotate(person_id=person.pk)
    return proofs_of(person)


def test_the_verifier_is_short_and_imports_nothing_of_ours():
    source = VERIFIER.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 105
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    assert imported <= sys.stdlib_module_names


@pytest.mark.django_db
def test_a_thousand_draws_recompute(verify):
    """Real draws of many people on wheels of all sorts, with stock running out and pity."""
    chance = random.Random(20260101)
    wheels = [
        make_random_wheel(chance, plenty=plenty, threshold=threshold)
        for plenty in (1, 100)
        for threshold in (1, 3, 9)
    ]
    people = [make_person(points=100_000) for _ in range(12)]
    done = 0
    while done < 1000:
        person, count = chance.choice(people), chance.choice([1, 7, 10, 10])
        draw(person_id=person.pk, wheel_id=chance.choice(wheels).pk, count=count)
        done += count
        if chance.random() < 0.1:
            chosen = chance.choice([None, "幸运", "x:1", " "])
            seeds.rotate(person_id=person.pk, client_seed=chosen)
    for person in people:
        seeds.rotate(person_id=person.pk)

    proofs = [proof for person in people for proof in proofs_of(person)]

    assert len(proofs) == done >= 1000
    fallbacks = [proof for proof in proofs if proof["stock_out"] and not proof["is_pity"]]
    left_out = [proof for proof in proofs if proof["stock_out"] and proof["is_pity"]]
    lucky = [proof for proof in proofs if proof["is_pity"] and not proof["stock_out"]]
    assert min(len(fallbacks), len(left_out), len(lucky)) >= 20
    answer = verify(json.dumps(proofs))
    first_line = answer.stdout.splitlines()[0]
    assert (answer.returncode, first_line) == (0, f"{done} draws recompute"), answer
    assert findings() == []


def make_random_wheel(chance, *, plenty, threshold):
    """Eight sectors with weights at random: a pity prize for sure, a few that run out."""
    cuts = sorted(chance.randint(0, 9000) for _ in range(7))
    weights = [end - start for start, end in zip([0, *cuts], cuts, strict=False)]
    product = make_product(stock=chance.randint(1, 15) * plenty)
    prizes = [
        points_prize("10", quantity=chance.randint(0, 10)),
        goods_prize(product, is_pity_prize=True),
        points_prize("5", is_pity_prize=True, is_activity=True),
        goods_prize(product),
        {"type": PrizeType.COUPON, "value": "3", "daily_cap": chance.randint(1, 10)},
        points_prize("1", is_pity_prize=True, quantity=chance.randint(0, 5) * plenty),
        points_prize("7"),
    ]
    for prize, weight in zip(prizes, weights, strict=False):
        prize["probability"] = f"{weight / 10000:.4f}"
    prizes[2]["probability"] = f"{(weights[2] + 50) / 10000:.4f}"
    return make_wheel(*prizes, pity_threshold=threshold, cost_points=1)


@pytest.mark.django_db
def test_every_form_of_a_proof_is_read(proofs, verify, tmp_path):
    one = proofs[0]
    for text, count in [
        (json.dumps(one), 1),
        (json.dumps({"code": 0, "msg": "success", "data": one}), 1),
        (json.dumps(proofs), len(proofs)),
        ("\n".join(json.dumps({"code": 0, "data": proof}) for proof in proofs) + "\n", len(proofs)),
    ]:
        assert verify(text).stdout == f"{count} draws recompute\n"
    file = tmp_path / "proofs.json"
    file.write_text(json.dumps(proofs), encoding="utf-8")
    assert run_verifier("", file, cwd=tmp_path).returncode == 0
    assert verify("[]").returncode == 1  # nothing was proven


ALTERATIONS = {
    "seed": lambda proof: {"server_seed": "00" * 32},
    "hash": lambda proof: {"server_seed_hash": "00" * 32},
    "client seed": lambda proof: {"client_seed": "another"},
    "ticket": lambda proof: {"ticket": -1},
    "outcome": lambda proof: {"outcome": 0},
    "stock out": lambda proof: {"stock_out": [0]},
    "pity": lambda proof: {"is_pity": not proof["is_pity"]},
    "pity before": lambda proof: {"pity_before": 3},
    "a prize less": lambda proof: {"prizes": proof["prizes"][:-1]},
    "no prizes": lambda proof: {"prizes": None},
    "weight": lambda proof: {"prizes": [{**proof["prizes"][0], "probability": "0.7000"}]},
    "maker of the client seed": lambda proof: {"client_seed_by": "nobody"},
    "no single maker": lambda proof: {"client_seed_by": []},
    "no client seed": lambda proof: {"client_seed": None},
    "not a number": lambda proof: {"prizes": [{**proof["prizes"][0], "probability": "much"}]},
}


@pytest.mark.django_db
@pytest.mark.parametrize("altered", ALTERATIONS)
def test_what_was_altered_is_named(altered, proofs, verify):
    victim = next(proof for proof in proofs if proof["pity_before"] == 0)
    victim.update(ALTERATIONS[altered](victim))
    answer = verify(json.dumps(proofs))
    assert answer.returncode == 1
    assert answer.stdout.startswith(f"draw {victim['draw_id']}: ")
    assert {line.split()[1] for line in answer.stdout.splitlines()} <= {
        f"{proof['draw_id']}:" for proof in proofs
    }


@pytest.mark.django_db
def test_the_fallback_prize_is_never_gone(proofs, verify):
    fallback = proofs[0]["fallback_prize_id"]
    victim = next(
        one
        for one in proofs
        if one["outcome"] == fallback and not (one["is_pity"] or one["stock_out"])
    )
    victim["stock_out"] = [fallback]
    answer = verify(json.dumps(proofs))
    assert answer.returncode == 1
    assert answer.stdout.startswith(f"draw {victim['draw_id']}: stock_out [{fallback}] names")


@pytest.mark.django_db
def test_gaps_and_repeats_of_nonces_are_named(proofs, verify):
    proofs.sort(key=lambda proof: proof["nonce"])
    missing = [*proofs[:3], *proofs[4:]]
    answer = verify(json.dumps(missing))
    assert answer.stdout == f"draw {proofs[4]['draw_id']}: nonce 4 follows 2\n"
    answer = verify(json.dumps([*proofs, proofs[-1]]))
    assert (answer.returncode, "nonce 19 follows 19" in answer.stdout) == (1, True)
    assert verify(json.dumps(proofs[5:9])).returncode == 0  # a part of them is fine


# --- What recomputing cannot show ---------------------------------------------------------------
def drawn_with(*client_seeds):
    """The proofs of one person who sends these, one after the other, and draws twice with each."""
    person, wheel = make_person(points=10_000), make_wheel()
    for client_seed in client_seeds:
        seeds.rotate(person_id=person.pk, client_seed=client_seed)
        draw(person_id=person.pk, wheel_id=wheel.pk, count=2)
    seeds.rotate(person_id=person.pk)
    return proofs_of(person)


@pytest.mark.django_db
def test_each_client_seed_of_the_server_is_named_and_is_no_error(verify):
    of_client = drawn_with("one", "另一个")
    assert verify(json.dumps(of_client)).stdout == "4 draws recompute\n"

    of_servers = [drawn_with(None), drawn_with(None)]

    answer = verify(json.dumps([*of_client, *of_servers[0], *of_servers[1]]))
    told, *rest = answer.stdout.splitlines()
    assert (answer.returncode, told) == (0, "8 draws recompute")
    assert sorted(rest) == sorted(
        f"client seed '{proofs[0]['client_seed']}' of server: this shows consistency, not fairness"
        for proofs in of_servers
    )


@pytest.mark.django_db
def test_a_client_seed_that_the_server_knew_already_is_named(verify):
    kept_and_sent_again = drawn_with("我", None, "我")
    answer = verify(json.dumps(kept_and_sent_again))
    told, rest = answer.stdout.splitlines()
    assert (answer.returncode, told) == (0, "6 draws recompute")
    assert rest.startswith(r"client seed '\u6211' of client met 3 server seeds: ")
    assert rest.endswith("for all but the first this shows consistency, not fairness")


@pytest.mark.django_db
def test_a_proof_from_before_it_named_the_maker_is_read(verify):
    old = drawn_with("mine")
    for proof in old:
        del proof["client_seed_by"]
    answer = verify(json.dumps(old))
    assert (answer.returncode, answer.stdout.splitlines()) == (
        0,
        [
            "2 draws recompute",
            "client seed 'mine' of nobody named: this shows consistency, not fairness",
        ],
    )


@pytest.mark.django_db
def test_one_server_seed_meets_one_client_seed(verify):
    """Both draws recompute; but a server that may change the other seed may choose."""
    one, two = sorted(drawn_with("mine"), key=lambda proof: proof["nonce"])
    two["client_seed"] = "another"
    two["ticket"] = draw_ticket(
        server_seed=two["server_seed"], client_seed="another", nonce=two["nonce"]
    )
    answer = verify(json.dumps([one, two]))
    assert (answer.returncode, answer.stdout) == (
        1,
        f"draw {two['draw_id']}: another client seed with this server seed\n",
    )
