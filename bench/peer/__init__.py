"""The same platform by hand: Starlette and psycopg, on our tables, with the same guarantees.

What our figures are divided by. It shares no code with the platform, so that `check_integrity`,
run over the rows that it wrote, is a second opinion and no mirror.
"""
