"""The writes of one draw without any server: pgbench, prepared, eight connections.

On a copy of the database, since what it writes is no honest draw: the database cannot open seeds.
It pays for the same rows, indexes, constraints, triggers, locks and hashes.
"""

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.kept_servers import Account, ServerFailed, postgresql_programs

CLIENTS = 8
COPY = "bench_pgbench"
LOOKS = 5  # each waits some seconds by itself

# A colon before a letter would be a variable of pgbench's.
HASH = """encode(sha256(convert_to('{{"balance_after":' || {balance} || ',"created_at":"'
    || replace(to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24_MI_SS.US'), '_', ':')
    || '+00:00","points":-10,"previous_hash":"' || {previous} || '","related_id":"' || {draw}
    || '","sequence":' || {sequence} || ',"source":"lottery","user_id":' || :person || '}}',
    'UTF8')), 'hex')"""
ANSWER = "repeat('x', 1000)"
STEPS = """
\\set person random(:first, :last)
\\set ticket random(0, 9999)
SELECT gen_random_uuid() AS draw, gen_random_uuid() AS key \\gset
SELECT session.revoked_at IS NULL AS is_live FROM accounts_devicesession AS session
    JOIN accounts_user AS person ON person.id = session.user_id
    WHERE session.user_id = :person \\gset
BEGIN;
INSERT INTO ops_idempotencyrecord (owner_id, path, key, fingerprint, answer, created_at)
    VALUES (:person, '/api/lottery/draw', :key, repeat('f', 64), '', now());
SELECT id AS pair, next_nonce AS nonce FROM lottery_seedpair
    WHERE person_id = :person AND state = 'active' FOR NO KEY UPDATE \\gset
SELECT count(*) AS used FROM lottery_draw WHERE person_id = :person AND wheel_id = :wheel
    AND created_at >= date_trunc('day', now()) \\gset
INSERT INTO lottery_draw (id, person_id, wheel_id, version_id, seed_pair_id, nonce, ticket,
    landed_prize_id, prize_id, is_pity, pity_before, stock_out, near_miss, cost_points,
    value_given, created_at)
    VALUES (:draw, :person, :wheel, :version, :pair, :nonce, :ticket, 1, 1, false, 0, '[]', false,
    10, 0, now());
UPDATE lottery_seedpair SET next_nonce = next_nonce + 1, updated_at = now() WHERE id = :pair;
INSERT INTO lottery_pitycounter (person_id, wheel_id, current) VALUES (:person, :wheel, 1)
    ON CONFLICT (person_id, wheel_id)
    DO UPDATE SET current = lottery_pitycounter.current + 1, updated_at = now();
SELECT total_points - 10 AS balance, points_version + 1 AS sequence, points_hash AS previous
    FROM accounts_user WHERE id = :person FOR NO KEY UPDATE \\gset
SELECT HASH AS hash \\gset
INSERT INTO accounts_pointsentry (user_id, sequence, points, source, related_id, balance_after,
    previous_hash, entry_hash, created_at)
    VALUES (:person, :sequence, -10, 'lottery', :draw, :balance, :previous, :hash, now());
UPDATE accounts_user SET total_points = :balance, points_version = :sequence,
    points_hash = :hash, updated_at = now() WHERE id = :person;
UPDATE ops_idempotencyrecord SET answer = ANSWER, updated_at = now()
    WHERE owner_id = :person AND path = '/api/lottery/draw' AND key = :key;
COMMIT;
"""
FEW = """
\\set person random(:first, :last)
\\set ticket random(0, 9999)
WITH names AS MATERIALIZED (SELECT gen_random_uuid() AS draw, gen_random_uuid() AS key),
pair AS (
    UPDATE lottery_seedpair SET next_nonce = next_nonce + 1, updated_at = now()
    WHERE person_id = :person AND state = 'active' RETURNING id, next_nonce - 1 AS nonce
), head AS MATERIALIZED (
    SELECT person.id, total_points - 10 AS balance, points_version + 1 AS sequence,
        points_hash AS previous FROM pair, accounts_user AS person WHERE person.id = :person
    FOR NO KEY UPDATE OF person
), entry AS MATERIALIZED (
    SELECT head.*, HASH AS hash
    FROM head, names
), payer AS (
    UPDATE accounts_user SET total_points = balance, points_version = sequence, points_hash = hash,
        updated_at = now() FROM entry WHERE accounts_user.id = entry.id
), counter AS (
    INSERT INTO lottery_pitycounter (person_id, wheel_id, current) SELECT id, :wheel, 1 FROM entry
    ON CONFLICT (person_id, wheel_id)
    DO UPDATE SET current = lottery_pitycounter.current + 1, updated_at = now()
), paid AS (
    INSERT INTO accounts_pointsentry (user_id, sequence, points, source, related_id, balance_after,
        previous_hash, entry_hash, created_at)
    SELECT id, sequence, -10, 'lottery', draw, balance, previous, hash, now() FROM entry, names
), kept AS (
    INSERT INTO ops_idempotencyrecord (owner_id, path, key, fingerprint, answer, created_at)
    SELECT id, '/api/lottery/draw', key, repeat('f', 64), ANSWER, now() FROM entry, names
)
INSERT INTO lottery_draw (id, person_id, wheel_id, version_id, seed_pair_id, nonce, ticket,
    landed_prize_id, prize_id, is_pity, pity_before, stock_out, near_miss, cost_points,
    value_given, created_at)
SELECT draw, :person, :wheel, :version, pair.id, nonce, :ticket, 1, 1, false, 0, '[]', false, 10, 0,
    now() FROM pair, names;
"""


def _script(text: str, colon: str) -> str:
    """A script with its hash and its answer; `colon` stands before what it has as variables."""
    names = ("balance", "previous", "draw", "sequence")
    digest = HASH.format(**{name: f"{colon}{name}" for name in names})
    return text.replace("HASH", digest).replace("ANSWER", ANSWER)


SCRIPTS = {"draw: pgbench, steps": _script(STEPS, ":"), "draw: pgbench, few": _script(FEW, "")}


def program(folder: Path) -> Path | None:
    """pgbench beside the server's programs; None when it is not there."""
    try:
        found = postgresql_programs(folder, Account.for_servers()) / "pgbench"
    except ServerFailed:
        return None
    return found if found.exists() else None


def copy_database(address: str) -> str:
    """A copy of a database that nobody is connected to; returns its address."""
    parts = urlsplit(address)
    other = urlunsplit(parts._replace(path="/template1"))
    with psycopg.connect(other, autocommit=True) as connection:
        name = psycopg.sql.Identifier(parts.path.strip("/"))
        copy = psycopg.sql.Identifier(COPY)
        for _look in range(LOOKS):
            # Connections that were closed a moment ago are still there for some milliseconds.
            with suppress(psycopg.errors.ObjectInUse):
                connection.execute(
                    psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(copy, name)
                )
                break
    return urlunsplit(parts._replace(path=f"/{COPY}"))


def measure(pgbench: Path, address: str, script: str, *, seconds: int, folder: Path) -> float:
    """Transactions a second, without the time to connect."""
    with psycopg.connect(address) as connection:
        found = connection.execute(
            """SELECT min(pair.person_id), max(pair.person_id), version.wheel_id, version.id
            FROM lottery_seedpair AS pair, lottery_wheelversion AS version
            JOIN lottery_wheel AS wheel ON wheel.id = version.wheel_id AND wheel.is_default
            WHERE pair.state = 'active' GROUP BY version.wheel_id, version.id
            ORDER BY version.id DESC LIMIT 1"""
        ).fetchone()
    assert found is not None
    names = dict(zip(("first", "last", "wheel", "version"), found, strict=True))
    source = folder / "pgbench.sql"
    source.write_text(script, encoding="utf-8")
    parts = urlsplit(address)
    done = subprocess.run(
        [
            str(pgbench),
            *("--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", "--jobs=2"),
            *(f"--time={seconds}", f"--file={source}"),
            *(f"--define={name}={value}" for name, value in names.items()),
            *(f"--host={parts.hostname}", f"--port={parts.port}", f"--username={parts.username}"),
            parts.path.strip("/"),
        ],
        env={**os.environ, "PGPASSWORD": parts.password or ""},
        capture_output=True,
        text=True,
        check=False,
    )
    rate = re.search(r"tps = ([0-9.]+)", done.stdout)
    if done.returncode or rate is None or "number of failed transactions: 0 " not in done.stdout:
        raise RuntimeError(done.stdout + done.stderr)
    return float(rate[1])
