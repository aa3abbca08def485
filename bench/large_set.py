"""The large set: what a chain of shops has after years, honest in every row, made by the database.

Python decides what only Python can (seeds, tickets, keyed hashes), SQL writes the rest, set by set.
Who comes how often is as in life: a few come daily, most of them seldom. Of so many people as
there are visits, the first comes a hundredth of the times (at a million), half of them once or
never. What is drawn by lot is drawn by `chance`, which says the same each time.
"""

import secrets
from datetime import timedelta
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from accounts.models import DeviceSession, PointsEntry, RegistrationMark, User
from bench.bulk import bare, chain, copy_in, execute, go_on_after, rows_of
from bench.honest_rows import draft_wheel, welcome_mark
from catalog.models import (
    Category,
    Order,
    Product,
    ProductImage,
    Shop,
    ShopRole,
    StockEntry,
)
from catalog.services.members import join
from favorites.models import Favorite
from lottery import decision
from lottery.models import Draw, PityCounter, PrizeType, SeedPair
from lottery.services import publishing, wheels
from ops.models import AuditEntry, StoredFile
from ops.services import key_ring
from ops.services.encryption import encrypt
from reviews.models import ProcessRecord, Receipt

SHOPS, STAFF_OF_A_SHOP, CATEGORIES = 20, 5, 20
WELCOME, COST = 500, 10
DRAWS_A_VISIT = 5  # of a visit whose receipt was approved
PITY_THRESHOLD = 20
VERSIONS = 100  # of the wheel
PRICES = 80  # 50, 100, … 4,000 points: many products have the same
FEWEST_PRODUCTS = PRICES

FILLED = (
    User,
    RegistrationMark,
    PointsEntry,
    DeviceSession,
    Product,
    ProductImage,
    StockEntry,
    Order,
    Favorite,
    SeedPair,
    Draw,
    PityCounter,
    StoredFile,
    Receipt,
    ProcessRecord,
    AuditEntry,
)

_POINTS = {"type": PrizeType.POINTS}
PRIZES = (
    {**_POINTS, "value": 5, "probability": "0.30"},
    {**_POINTS, "value": 10, "probability": "0.15"},
    {"type": PrizeType.EMPTY, "probability": "0.20"},
    {**_POINTS, "value": 20, "probability": "0.10"},
    {**_POINTS, "value": 50, "probability": "0.03", "is_pity_prize": True},
    {"type": PrizeType.COUPON, "value": 5, "probability": "0.01", "is_activity": True},
    {**_POINTS, "value": 100, "probability": "0.01", "is_pity_prize": True},
    {"type": PrizeType.EMPTY, "probability": "0.20"},
)


class NotEmpty(Exception):
    """There are people in the database already, whose rows are not to be mixed with these."""


def fill(*, people, products, tell=lambda what: None):
    """Write the large set: so many people, as many receipts, ten times as many ledger entries.

    In one transaction: all of it is there in the end, with every constraint, index and trigger as
    it was, or nothing. `tell` hears what is done next. Raises NotEmpty.
    """
    if User.objects.exists():
        raise NotEmpty
    products = max(products, FEWEST_PRODUCTS)
    with transaction.atomic():
        _prepare()
        facts = _facts(people=people, products=products)
        with bare(*FILLED):
            for step in STEPS:
                tell(step.__name__.removeprefix("_").replace("_", " "))
                step(facts)
            tell("indexes")
        go_on_after(*(model for model in FILLED if model is not Draw))
        tell("members")
        _let_staff_join(facts)


def _prepare():
    execute("SET LOCAL statement_timeout = 0")
    execute("SET LOCAL work_mem = '256MB'")
    execute("SET LOCAL maintenance_work_mem = '512MB'")
    execute("SET LOCAL jit = off")
    execute("""
        CREATE FUNCTION pg_temp.chance(number bigint, salt bigint) RETURNS double precision
        LANGUAGE sql IMMUTABLE AS
        'SELECT (hashint8extended(number, salt) & 2147483647) / 2147483648.0::double precision'
    """)


def _facts(*, people, products):
    """What every statement may name."""
    now = timezone.now()
    year = timedelta(days=365)
    shops = [Shop.objects.create(name=f"Shop {number}").pk for number in range(1, SHOPS + 1)]
    categories = Category.objects.bulk_create(
        Category(name=f"Category {number}", position=number // 4) for number in range(CATEGORIES)
    )
    wheel = draft_wheel(
        PRIZES, name="Wheel", cost_points=COST, daily_limit=1_000, pity_threshold=PITY_THRESHOLD
    )
    for _number in range(VERSIONS):
        version = publishing.publish(wheel_id=wheel.pk)
    wheels.make_default(wheel_id=wheel.pk)
    return {
        "people": people,
        "staff": SHOPS * STAFF_OF_A_SHOP,
        "products": products,
        "bands": products // PRICES,
        "prices": PRICES,
        "shops": shops,
        "number_of_shops": SHOPS,
        "staff_of_a_shop": STAFF_OF_A_SHOP,
        "categories": [category.pk for category in categories],
        "number_of_categories": CATEGORIES,
        "now": now,
        "begun": now - year,
        "step": year / people,
        "welcome": WELCOME,
        "cost": COST,
        "draws": DRAWS_A_VISIT,
        "threshold": PITY_THRESHOLD,
        "wheel": wheel.pk,
        "version": version.pk,
        "sheet": version.sheet,
    }


def _run(statement, facts):
    execute(statement, **{name: value for name, value in facts.items() if name != "sheet"})


# --- What happened ------------------------------------------------------------------------------
def _visits(facts):
    """One visit after the other, a receipt each; nine of ten are approved, and give points."""
    _run(
        """
        CREATE TEMP TABLE visit ON COMMIT DROP AS
        SELECT *, floor(amount * 10)::int AS points,
            %(begun)s::timestamptz + visit * %(step)s::interval AS at,
            row_number() OVER (PARTITION BY person, status ORDER BY visit) AS of_status,
            (%(shops)s::bigint[])[shop_number] AS shop_id,
            %(people)s + (shop_number - 1) * %(staff_of_a_shop)s + visit %% %(staff_of_a_shop)s + 1
                AS reviewer
        FROM (
            SELECT visit,
                1 + floor(%(people)s * pg_temp.chance(visit, 1) ^ 3)::bigint AS person,
                1 + floor(%(number_of_shops)s * pg_temp.chance(visit, 2) ^ 2)::int AS shop_number,
                CASE WHEN pg_temp.chance(visit, 3) < 0.02 THEN 'pending'
                    WHEN pg_temp.chance(visit, 3) < 0.07 THEN 'rejected'
                    ELSE 'approved' END AS status,
                (50 + floor(50000 * pg_temp.chance(visit, 4))::numeric / 100)::numeric(6, 2)
                    AS amount
            FROM generate_series(1::bigint, %(people)s) AS visit
        ) AS of_chance
        """,
        facts,
    )
    execute("ANALYZE visit")


def _seeds(facts):
    """The seeds of everybody who draws, and the tickets and pity that follow from them."""
    execute("""
        CREATE TEMP TABLE seed (person bigint, encrypted text, hash text, next_encrypted text,
            next_hash text, client_seed text, tickets int[], pity int[], pity_now int)
        ON COMMIT DROP
    """)
    often = rows_of(
        "SELECT person, count(*) FROM visit WHERE status = 'approved' GROUP BY 1 ORDER BY 1"
    )
    copy_in("seed", (_seed(person, visits * DRAWS_A_VISIT, facts) for person, visits in often))
    execute("ANALYZE seed")
    execute(
        """
        INSERT INTO lottery_seedpair (id, person_id, server_seed_encrypted, server_seed_hash,
            client_seed, next_nonce, state, created_at, activated_at)
        SELECT person, person, encrypted, hash, client_seed, cardinality(tickets), 'active',
            %(begun)s::timestamptz, %(begun)s::timestamptz
        FROM seed
        UNION ALL
        SELECT %(people)s + person, person, next_encrypted, next_hash, '', 0, 'next',
            %(begun)s::timestamptz, NULL
        FROM seed
        """,
        begun=facts["begun"],
        people=facts["people"],
    )
    execute(
        """
        INSERT INTO lottery_pitycounter (person_id, wheel_id, current)
        SELECT person, %(wheel)s, pity_now FROM seed
        """,
        wheel=facts["wheel"],
    )


def _seed(person, draws, facts):
    """A row of `seed`: the pity before each draw is that of the draws as they were decided."""
    server_seed, next_seed = secrets.token_hex(32), secrets.token_hex(32)
    client_seed = secrets.token_hex(16)
    tickets = decision.first_tickets(server_seed=server_seed, client_seed=client_seed, count=draws)
    usual, of_pity = _lucky(facts)
    pity, before = 0, []
    for ticket in tickets:
        before.append(pity)
        lucky = of_pity if pity >= PITY_THRESHOLD - 1 else usual
        pity = 0 if lucky[ticket] else pity + 1
    return (
        person,
        encrypt(server_seed),
        decision.hash_seed(server_seed),
        encrypt(next_seed),
        decision.hash_seed(next_seed),
        client_seed,
        tickets,
        before,
        pity,
    )


def _lucky(facts):
    """Of each ticket whether it gives a pity prize: usually, and in a pity draw."""
    if "lucky" not in facts:
        given = [given for _is_pity, _ticket, given in _outcomes(facts["sheet"])]
        lucky = [one.given.is_pity_prize for one in given]
        half = len(lucky) // 2
        facts["lucky"] = lucky[:half], lucky[half:]
    return facts["lucky"]


def _outcomes(sheet):
    """Everything that can come out, decided by the rule itself: usually, and in a pity draw."""
    for is_pity in (False, True):
        for ticket in range(10_000):
            yield (
                is_pity,
                ticket,
                decision.decide(
                    sheet,
                    ticket=ticket,
                    pity_before=PITY_THRESHOLD - 1 if is_pity else 0,
                    is_gone=lambda _prize: False,
                ),
            )


def _draws(facts):
    """All draws, each joined with what its ticket comes to."""
    execute("""
        CREATE TEMP TABLE outcome (is_pity boolean, ticket int, landed bigint, prize bigint,
            near_miss boolean, value numeric(9, 2), name text, credits boolean, opens boolean)
        ON COMMIT DROP
    """)
    sheet = facts["sheet"]
    copy_in(
        "outcome",
        (
            (
                is_pity,
                ticket,
                decided.landed.prize_id,
                decided.given.prize_id,
                decision.is_near_miss(sheet, given=decided.given),
                Decimal(decided.given.value),
                decided.given.name,
                decided.given.kind.credits_points,
                decided.given.kind.opens_order,
            )
            for is_pity, ticket, decided in _outcomes(sheet)
        ),
    )
    execute("ANALYZE outcome")
    # The id of a draw sorts by time: see `new_draw_id`.
    _run(
        """
        CREATE TEMP TABLE drawn ON COMMIT DROP AS
        SELECT *, (
            lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0')
            || '7' || substr(md5(person || ':' || nonce), 1, 3)
            || '8' || substr(md5(person || ':' || nonce), 4, 15)
        )::uuid AS id
        FROM (
            SELECT v.visit, s.person, t.number - 1 AS nonce, t.ticket, t.pity_before,
                v.at + interval '3 minutes' + (t.number - 1) %% %(draws)s * interval '1 second'
                    AS at,
                o.is_pity, o.landed, o.prize, o.near_miss, o.value, o.name, o.credits, o.opens
            FROM seed AS s
            CROSS JOIN LATERAL unnest(s.tickets, s.pity) WITH ORDINALITY
                AS t (ticket, pity_before, number)
            JOIN visit AS v ON v.person = s.person AND v.status = 'approved'
                AND v.of_status = (t.number - 1) / %(draws)s + 1
            JOIN outcome AS o ON o.ticket = t.ticket
                AND o.is_pity = (t.pity_before >= %(threshold)s - 1)
        ) AS draw
        """,
        facts,
    )
    execute("ANALYZE drawn")


def _orders(facts):
    """What was bought, for less than the visit's receipt gave, and what was won."""
    _run(
        """
        CREATE TEMP TABLE ordered ON COMMIT DROP AS
        SELECT row_number() OVER (ORDER BY at, related_id) AS id, *,
            CASE WHEN status IN ('cancelled', 'expired') THEN at + interval '1 day' END
                AS returned_at
        FROM (
            SELECT 'exchange' AS source, person, product, 50 * (1 + (product - 1) %% %(prices)s)
                AS points, at + interval '2 minutes' AS at, '' AS related_id, reviewer, name,
                CASE WHEN pg_temp.chance(visit, 8) < 0.10 THEN 'pending'
                    WHEN pg_temp.chance(visit, 8) < 0.15 THEN 'cancelled'
                    WHEN pg_temp.chance(visit, 8) < 0.18 THEN 'expired'
                    ELSE 'redeemed' END AS status
            FROM (
                SELECT *, 'Product ' || product AS name FROM (
                    SELECT *, 1
                        + %(prices)s * floor(%(bands)s * pg_temp.chance(visit, 7) ^ 2)::bigint
                        + floor(
                            pg_temp.chance(visit, 6) * least(%(prices)s, (points - 50) / 50)
                        )::bigint AS product
                    FROM visit WHERE status = 'approved' AND pg_temp.chance(visit, 5) < 0.75
                ) AS choice
            ) AS bought
            UNION ALL
            SELECT 'lottery', person, NULL, 0, at, id::text, NULL, name, 'pending'
            FROM drawn WHERE opens
        ) AS both_kinds
        """,
        facts,
    )
    execute("ANALYZE ordered")
    _run(
        """
        INSERT INTO catalog_order (id, person_id, shop_id, product_id, product_name, kind,
            unit_points, quantity, total_points, source, related_id, exchange_code, status,
            created_at, expires_at, redeemed_at, redeemed_by_id, returned_at)
        SELECT id, person, (%(shops)s::bigint[])[1 + product %% %(number_of_shops)s], product,
            name, CASE WHEN product %% 3 = 0 THEN 'physical' ELSE 'coupon' END, points, 1, points,
            source, related_id, regexp_replace(
                upper(translate(
                    substr(md5(id::text), 1, 4) || lpad(to_hex(id), 8, '0'), '01', 'xy'
                )),
                '(....)(....)(....)', '\\1-\\2-\\3'
            ),
            status, at, CASE WHEN status <> 'redeemed' THEN at + interval '400 days' END,
            CASE WHEN status = 'redeemed' THEN at + interval '1 hour' END,
            CASE WHEN status = 'redeemed' THEN reviewer END,
            returned_at
        FROM ordered
        ORDER BY id
        """,
        facts,
    )


def _rows_of_draws(facts):
    _run(
        """
        INSERT INTO lottery_draw (id, person_id, wheel_id, version_id, seed_pair_id, nonce, ticket,
            landed_prize_id, prize_id, is_pity, pity_before, stock_out, near_miss, cost_points,
            value_given, order_id, created_at)
        SELECT drawn.id, drawn.person, %(wheel)s, %(version)s, drawn.person, nonce, ticket, landed,
            prize, is_pity, pity_before, '[]', near_miss, %(cost)s, value, ordered.id, drawn.at
        FROM drawn LEFT JOIN ordered ON ordered.source = 'lottery'
            AND ordered.related_id = drawn.id::text
        ORDER BY drawn.id
        """,
        facts,
    )


# --- The ledgers --------------------------------------------------------------------------------
def _points(facts):
    """Everything that gave or took points, in its order, and the chains of it."""
    _run(
        """
        CREATE TEMP TABLE points_move ON COMMIT DROP AS
        SELECT person AS user_id,
            row_number() OVER in_order AS sequence, points::bigint, source, related_id,
            (sum(points) OVER in_order)::bigint AS balance_after, at AS created_at
        FROM (
            SELECT person, %(begun)s::timestamptz - interval '1 day' AS at, 0 AS step,
                %(welcome)s AS points, 'register' AS source, person::text AS related_id
            FROM generate_series(1::bigint, %(people)s + %(staff)s) AS person
            UNION ALL
            SELECT person, at + interval '1 minute', 1, points, 'photo_upload', visit::text
            FROM visit WHERE status = 'approved'
            UNION ALL
            SELECT person, at, 2, -points, 'exchange', id::text
            FROM ordered WHERE source = 'exchange'
            UNION ALL
            SELECT person, returned_at, 3, points, 'cancel', id::text
            FROM ordered WHERE returned_at IS NOT NULL
            UNION ALL
            SELECT person, at, 4, -%(cost)s, 'lottery', id::text FROM drawn
            UNION ALL
            SELECT person, at, 5, value::int, 'prize', id::text FROM drawn WHERE credits
        ) AS all_kinds
        WINDOW in_order AS (
            PARTITION BY person ORDER BY at, step, related_id ROWS UNBOUNDED PRECEDING
        )
        """,
        facts,
    )
    execute("ALTER TABLE points_move ADD PRIMARY KEY (user_id, sequence)")
    execute("ANALYZE points_move")
    chain(PointsEntry, moves="points_move")


def _stock(facts):
    """The same for products: restocked once, then taken and returned."""
    _run(
        """
        CREATE TEMP TABLE stock_move ON COMMIT DROP AS
        SELECT product AS product_id, row_number() OVER in_order AS sequence,
            quantity::int, operation, (sum(quantity) OVER in_order)::int AS stock_after,
            related_id, author AS author_id, '' AS reason, at AS created_at
        FROM (
            SELECT product, %(begun)s::timestamptz - interval '1 day' AS at, 0 AS step,
                count(ordered.id) + 1 + product %% 100 AS quantity,
                'restock' AS operation, '' AS related_id, %(people)s + 1 AS author
            FROM generate_series(1::bigint, %(products)s) AS product
            LEFT JOIN ordered USING (product)
            GROUP BY product
            UNION ALL
            SELECT product, at, 1, -1, 'purchase', id::text, NULL
            FROM ordered WHERE source = 'exchange'
            UNION ALL
            SELECT product, returned_at, 2, 1, 'cancel', id::text, NULL
            FROM ordered WHERE returned_at IS NOT NULL
        ) AS all_kinds
        WINDOW in_order AS (
            PARTITION BY product ORDER BY at, step, related_id ROWS UNBOUNDED PRECEDING
        )
        """,
        facts,
    )
    execute("ALTER TABLE stock_move ADD PRIMARY KEY (product_id, sequence)")
    execute("ANALYZE stock_move")
    chain(StockEntry, moves="stock_move")


def _audit(facts):
    """What the reviewers decided; a chain for each of them."""
    execute("""
        INSERT INTO ops_auditactor (person_id, "system_user", entries, head)
        SELECT reviewer, '', 0, '' FROM visit WHERE status <> 'pending' GROUP BY reviewer
    """)
    execute("""
        CREATE TEMP TABLE audit_move ON COMMIT DROP AS
        SELECT actor.id AS chain_id, reviewer AS actor_id, '' AS "system_user",
            row_number() OVER (PARTITION BY actor.id ORDER BY visit) AS sequence,
            CASE status WHEN 'approved' THEN 'receipt.approve' ELSE 'receipt.reject' END AS action,
            'reviews.receipt' AS object_type, visit::text AS object_id, shop_id,
            '{"points_awarded":null,"status":"pending"}' AS before,
            '{"points_awarded":' || CASE status WHEN 'approved' THEN points ELSE 0 END
                || ',"status":"' || status || '"}' AS after,
            CASE status WHEN 'approved' THEN '' ELSE 'Cannot be read.' END AS reason,
            '' AS address, '' AS request_id, at + interval '1 minute' AS created_at
        FROM visit JOIN ops_auditactor AS actor ON actor.person_id = reviewer
        WHERE status <> 'pending'
    """)
    execute("ALTER TABLE audit_move ADD PRIMARY KEY (chain_id, sequence)")
    execute("ANALYZE audit_move")
    chain(AuditEntry, moves="audit_move")
    execute("""
        UPDATE ops_auditactor AS actor SET entries = newest.sequence, head = newest.entry_hash
        FROM (
            SELECT DISTINCT ON (chain_id) chain_id, sequence, entry_hash FROM ops_auditentry
            ORDER BY chain_id, sequence DESC
        ) AS newest
        WHERE newest.chain_id = actor.id
    """)


# --- Who and what -------------------------------------------------------------------------------
def _people(facts):
    """Everybody, with the head of their chain; the staff have the ids behind the customers'."""
    _run(
        """
        INSERT INTO accounts_user (id, password, is_superuser, phone, nickname, status,
            premium_until, is_staff, total_points, lifetime_points, points_version, points_hash,
            login_count, last_login, created_at)
        SELECT head.user_id, '!', false, '1' || lpad(head.user_id::text, 10, '0'),
            'Guest ' || head.user_id,
            CASE WHEN head.user_id %% 1000 = 0 THEN 'banned' ELSE 'active' END,
            CASE WHEN head.user_id %% 50 = 0 THEN current_date + 365 END, false,
            head.balance_after, coalesce(receipts.points, 0), head.sequence, head.entry_hash,
            1, head.created_at,
            %(begun)s::timestamptz - interval '1 day'
        FROM (SELECT user_id, max(sequence) AS sequence FROM points_move GROUP BY user_id) AS newest
        JOIN accounts_pointsentry AS head USING (user_id, sequence)
        LEFT JOIN (
            SELECT person, sum(points) AS points FROM visit WHERE status = 'approved'
            GROUP BY person
        ) AS receipts ON receipts.person = head.user_id
        ORDER BY head.user_id
        """,
        facts,
    )


def _marks(facts):
    key_id = key_ring.newest("hash").id
    people = rows_of("SELECT id, phone FROM accounts_user ORDER BY id")

    def marks():
        for person_id, phone in people:
            mark = welcome_mark(person_id=person_id, phone=phone, points=WELCOME)
            yield mark.key_hash, key_id, person_id, mark.points, mark.proof, facts["begun"]

    copy_in(
        "accounts_registrationmark (key_hash, key_id, person_id, points, proof, created_at)",
        marks(),
    )


def _devices(facts):
    """Every tenth person is signed in, or was."""
    _run(
        """
        INSERT INTO accounts_devicesession (user_id, generation, rotated_at, ip_address,
            user_agent, created_at, last_activity_at, expires_at, revoked_at)
        SELECT person, 1, at, '192.0.2.1', 'Client of the large set', at, at,
            at + interval '400 days',
            CASE WHEN person %% 3 = 0 THEN at + interval '1 hour' END
        FROM (
            SELECT person, %(begun)s::timestamptz
                + pg_temp.chance(person, 20) * interval '365 days' AS at
            FROM generate_series(1::bigint, %(people)s, 10) AS person
        ) AS signed_in
        """,
        facts,
    )


def _products(facts):
    _run(
        """
        INSERT INTO catalog_product (id, category_id, name, description, kind, points_price,
            market_price, shop_id, status, is_listed, stock, stock_version, stock_hash,
            sales_count, created_at)
        SELECT head.product_id,
            (%(categories)s::bigint[])[1 + head.product_id * 7 %% %(number_of_categories)s],
            'Product ' || head.product_id,
            (ARRAY['红糖糍粑', '酸梅汤', '手磨豆浆', 'Spicy noodles', 'Silk tofu', 'Umbrella'])
                [1 + head.product_id %% 6]
                || repeat(' 好吃不贵 for the whole family, to be collected at the counter.', 3),
            CASE WHEN head.product_id %% 3 = 0 THEN 'physical' ELSE 'coupon' END,
            50 * (1 + (head.product_id - 1) %% %(prices)s), 12.50,
            (%(shops)s::bigint[])[1 + head.product_id %% %(number_of_shops)s],
            CASE WHEN head.product_id %% 13 = 0 THEN 'inactive' ELSE 'active' END,
            head.product_id %% 17 <> 0, head.stock_after, head.sequence, head.entry_hash,
            coalesce(sold.number, 0), %(begun)s
        FROM (
            SELECT product_id, max(sequence) AS sequence FROM stock_move GROUP BY product_id
        ) AS newest
        JOIN catalog_stockentry AS head USING (product_id, sequence)
        LEFT JOIN (
            SELECT product, count(*) AS number FROM ordered WHERE returned_at IS NULL
            GROUP BY product
        ) AS sold ON sold.product = head.product_id
        ORDER BY head.product_id
        """,
        facts,
    )


def _files(facts):
    """Rows of pictures without the files: two for each receipt, then two for each product."""
    _run(
        """
        INSERT INTO ops_storedfile (id, owner_id, purpose, name, path, media_type, size, sha256,
            created_at)
        SELECT 2 * visit - thumb, person,
            CASE thumb WHEN 0 THEN 'receipt_thumbnail' ELSE 'receipt' END, '',
            'receipt/' || visit || '-' || thumb || '.jpg', 'image/jpeg', 40000,
            encode(sha256(convert_to('file ' || visit || '-' || thumb, 'UTF8')), 'hex'), at
        FROM visit, (VALUES (1), (0)) AS renditions (thumb)
        ORDER BY visit, thumb DESC
        """,
        facts,
    )
    _run(
        """
        INSERT INTO ops_storedfile (id, purpose, path, name, media_type, size, sha256, created_at)
        SELECT 2 * (%(people)s + product) - thumb, 'product',
            'product/' || product || '-' || thumb || '.webp', '', 'image/webp', 40000,
            encode(sha256(convert_to('product ' || product || '-' || thumb, 'UTF8')), 'hex'),
            %(begun)s
        FROM generate_series(1::bigint, %(products)s) AS product,
            (VALUES (1), (0)) AS renditions (thumb)
        ORDER BY product, thumb DESC
        """,
        facts,
    )
    _run(
        """
        INSERT INTO catalog_productimage (id, product_id, file_id, thumbnail_id, position)
        SELECT product, product, 2 * (%(people)s + product) - 1, 2 * (%(people)s + product), 0
        FROM generate_series(1::bigint, %(products)s) AS product
        """,
        facts,
    )


def _receipts(facts):
    """A receipt and its reading for each visit."""
    _run(
        """
        INSERT INTO reviews_receipt (id, person_id, shop_id, status, input_amount,
            recognized_amount, confidence, receipt_number, issued_at, picture_id, thumbnail_id,
            sha256, submission, difference_hash, points_per_yuan, multiplier, estimated_points,
            points_awarded, risk_score, risk_reasons, reviewer_id, review_reason, reviewed_at,
            read_as, paid_as, created_at)
        SELECT visit, person, shop_id, status, amount, amount, 0.98, 'R' || visit,
            at - interval '1 hour', 2 * visit - 1, 2 * visit,
            encode(sha256(convert_to('receipt ' || visit, 'UTF8')), 'hex'), 1,
            md5('receipt ' || visit), 10, 1, points,
            CASE status WHEN 'approved' THEN points WHEN 'rejected' THEN 0 END,
            floor(100 * pg_temp.chance(visit, 9) ^ 3), '[]',
            CASE WHEN status <> 'pending' THEN reviewer END,
            CASE status WHEN 'rejected' THEN 'Cannot be read.' ELSE '' END,
            CASE WHEN status <> 'pending' THEN at + interval '1 minute' END,
            read_as, CASE status WHEN 'approved' THEN read_as END, at
        FROM (
            SELECT *, encode(sha256(convert_to('reading ' || visit, 'UTF8')), 'hex') AS read_as
            FROM visit
        ) AS reading
        ORDER BY visit
        """,
        facts,
    )
    execute("""
        INSERT INTO reviews_processrecord (id, receipt_id, kind, model_name, settings, status,
            progress, duration, error, attempts, queued_at, started_at, finished_at, created_at)
        SELECT visit, visit, 'reading', 'large set', '{}', 'completed', 100, 900, '', 1, at, at,
            at + interval '1 second', at
        FROM visit
        ORDER BY visit
    """)


def _favorites(facts):
    """Two for each person in the mean; who comes often keeps nearly everything."""
    _run(
        """
        INSERT INTO favorites_favorite (person_id, product_id, created_at)
        SELECT person, product, max(at) AS kept_at
        FROM (
            SELECT 1 + floor(%(people)s * pg_temp.chance(number, 10) ^ 3)::bigint AS person,
                1 + floor(%(products)s * pg_temp.chance(number, 11))::bigint AS product,
                %(begun)s::timestamptz + number * %(step)s::interval / 2 AS at
            FROM generate_series(1::bigint, 2 * %(people)s) AS number
        ) AS kept
        GROUP BY person, product
        ORDER BY kept_at
        """,
        facts,
    )


def _let_staff_join(facts):
    """An owner and four reviewers at each shop; the first of all reviews everywhere."""
    first = facts["people"] + 1
    for at, shop_id in enumerate(facts["shops"]):
        for number in range(STAFF_OF_A_SHOP):
            person = User.objects.get(pk=first + at * STAFF_OF_A_SHOP + number)
            role = ShopRole.REVIEWER if number else ShopRole.OWNER
            join(shop_id=shop_id, person=person, role=role)
    for shop_id in facts["shops"][1:]:
        join(shop_id=shop_id, person=User.objects.get(pk=first), role=ShopRole.OWNER)


STEPS = (
    _visits,
    _seeds,
    _draws,
    _orders,
    _rows_of_draws,
    _points,
    _people,
    _marks,
    _stock,
    _products,
    _files,
    _receipts,
    _audit,
    _favorites,
    _devices,
)
