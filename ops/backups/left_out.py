"""What pg_dump leaves out of a database: whose things are, who may use them, and its settings.

They are read from the live database, as it is, and not from the backup: a restore takes back data.
"""

from collections.abc import Iterator

import psycopg
from django.utils.translation import gettext as _
from psycopg import sql

from ops.backups import postgresql_tools as tools
from ops.backups.errors import BackupRefused
from ops.backups.postgresql_tools import Parameters, Session

# ALTER ... SET takes these as lists, in which names are quoted already (as pg_dumpall knows).
_LISTS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
_SETTINGS = """
    SELECT r.rolname, option FROM pg_db_role_setting s
    JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole,
    unnest(s.setconfig) WITH ORDINALITY AS o (option, place)
    WHERE d.datname = current_database() ORDER BY s.setrole, place
"""
# Each has a kind and a name as ALTER and GRANT take them, an owner, and who may do what with it.
_THINGS = """
    WITH schemas AS (
        SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    ), things AS (
        SELECT 1 AS place, 'pg_namespace'::regclass::oid AS class, oid, 'SCHEMA' AS kind,
               'SCHEMA' AS granted_as, quote_ident(nspname) AS name, nspowner AS owner,
               nspacl AS acl, true AS is_given_away
        FROM schemas
        UNION ALL
        SELECT CASE c.relkind WHEN 'S' THEN 3 ELSE 2 END, 'pg_class'::regclass, c.oid,
               CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW'
                   WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE'
                   ELSE 'TABLE' END,
               CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
               format('%I.%I', s.nspname, c.relname), c.relowner, c.relacl,
               -- The sequence of a column follows its table.
               c.relkind <> 'S' OR NOT EXISTS (
                   SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                   AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
                   AND d.deptype IN ('a', 'i')
               )
        FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL
        SELECT 4, 'pg_proc'::regclass, p.oid, 'ROUTINE', 'ROUTINE',
               format('%I.%I(%s)', s.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
               p.proowner, p.proacl, true
        FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace WHERE p.prokind IN ('f', 'p')
        UNION ALL
        SELECT 5, 'pg_type'::regclass, t.oid,
               CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, 'TYPE',
               format('%I.%I', s.nspname, t.typname), t.typowner, t.typacl, true
        FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace WHERE t.typtype IN ('d', 'e', 'r')
    ), granted AS (
        SELECT class, t.oid, '' AS columns, a.*
        FROM things t, aclexplode(t.acl) a
        UNION ALL
        SELECT class, t.oid, format('(%I)', c.attname), a.*
        FROM things t JOIN pg_attribute c ON c.attrelid = t.oid AND NOT c.attisdropped,
        aclexplode(c.attacl) a WHERE class = 'pg_class'::regclass
    )
    SELECT kind || ' ' || name,
           CASE WHEN is_given_away
                THEN ARRAY[format('ALTER %s %s OWNER TO %I', kind, name, pg_get_userbyid(owner))]
                ELSE ARRAY[]::text[] END
           || CASE WHEN acl IS NULL THEN ARRAY[]::text[] ELSE ARRAY[
                  format('REVOKE ALL ON %s %s FROM PUBLIC', granted_as, name),
                  format('REVOKE ALL ON %s %s FROM %I', granted_as, name, pg_get_userbyid(owner))
              ] END
           || ARRAY(
               SELECT format('GRANT %s%s ON %s %s TO %s%s', privilege_type, columns, granted_as,
                             name, coalesce(quote_ident(r.rolname), 'PUBLIC'),
                             CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
               FROM granted g LEFT JOIN pg_roles r ON r.oid = g.grantee
               WHERE g.class = t.class AND g.oid = t.oid
               ORDER BY columns, rolname, privilege_type
           )
    FROM things t
    WHERE NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = t.class AND d.objid = t.oid AND d.deptype = 'e'
    )
    ORDER BY place, name
"""
# Of whatever is made from now on.
_DEFAULTS = """
    SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s ', pg_get_userbyid(d.defaclrole),
                  coalesce(' IN SCHEMA ' || quote_ident(n.nspname), '')),
           CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
               WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END,
           CASE WHEN n.oid IS NULL THEN quote_ident(pg_get_userbyid(d.defaclrole)) END,
           ARRAY(
               SELECT format(' TO %s%s', coalesce(quote_ident(r.rolname), 'PUBLIC'),
                             CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
               FROM aclexplode(d.defaclacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
               ORDER BY rolname, privilege_type
           ),
           ARRAY(
               SELECT privilege_type
               FROM aclexplode(d.defaclacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
               ORDER BY rolname, privilege_type
           )
    FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    ORDER BY 1, 2
"""
_DATABASE = """
    WITH this AS (SELECT *, %s::text AS new FROM pg_database WHERE datname = current_database())
    SELECT format('ALTER DATABASE %%I OWNER TO %%I', new, pg_get_userbyid(datdba)) FROM this
    UNION ALL
    SELECT format('ALTER DATABASE %%I CONNECTION LIMIT %%s', new, datconnlimit) FROM this
    WHERE datconnlimit >= 0
    UNION ALL
    SELECT format('COMMENT ON DATABASE %%I IS %%L', new, shobj_description(oid, 'pg_database'))
    FROM this WHERE shobj_description(oid, 'pg_database') IS NOT NULL
    UNION ALL
    SELECT format('REVOKE ALL ON DATABASE %%I FROM PUBLIC', new) FROM this WHERE datacl IS NOT NULL
    UNION ALL
    SELECT format('GRANT %%s ON DATABASE %%I TO %%s%%s', privilege_type, new,
                  coalesce(quote_ident(r.rolname), 'PUBLIC'),
                  CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM this, aclexplode(datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
"""


def set_like(connection: Session, new: str) -> None:
    """Give a new database the settings of the one that is connected to, as far as one may."""
    for statement in _settings(connection, new):
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            continue  # whoever makes it the live one is told by `carry_over`


def carry_over(live: Parameters, side: Parameters) -> None:
    """Give a restored database what the live one has beside its data.

    Things that the live one has not belong to the role, and nobody else may use them. Raises
    BackupRefused, which says the statement that the role may not run.
    """
    with tools.connected(live) as there, tools.connected(side) as here:
        due, found = _things(there), _things(here)
        for name, statements in due.items():
            if name in found and found[name] != statements:
                _execute(here, statements)
        _execute(here, [*_defaults(there)])
        new = here.info.dbname
        _execute(here, [one.as_string(here) for one in _settings(there, new)])
        _execute(here, [one for (one,) in there.execute(_DATABASE, [new])])


def _execute(connection: Session, statements: list[str]) -> None:
    for statement in statements:
        try:
            connection.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege as error:
            said = {
                "statement": statement,
                "role": connection.info.user,
                "reason": error.diag.message_primary,
            }
            raise BackupRefused(
                _(
                    "The role %(role)s may not give the restored database what the live one has: "
                    "%(statement)s (%(reason)s). Restore as a role that may."
                )
                % said
            ) from error


def _things(connection: Session) -> dict[str, list[str]]:
    """What makes each thing belong to whom it belongs, by its kind and name."""
    return dict(connection.execute(_THINGS).fetchall())


def _defaults(connection: Session) -> Iterator[str]:
    for whose, kind, owner, grantees, privileges in connection.execute(_DEFAULTS):
        if owner:
            # Those of no schema stand for what holds otherwise; those of a schema add to it.
            yield f"{whose}REVOKE ALL ON {kind} FROM PUBLIC"
            yield f"{whose}REVOKE ALL ON {kind} FROM {owner}"
        for grantee, privilege in zip(grantees, privileges, strict=True):
            yield f"{whose}GRANT {privilege} ON {kind}{grantee}"


def _settings(connection: Session, new: str) -> Iterator[sql.Composed]:
    for role, option in connection.execute(_SETTINGS).fetchall():
        name, _equals, value = option.partition("=")
        whose = (
            sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(role), sql.Identifier(new))
            if role
            else sql.SQL("DATABASE {}").format(sql.Identifier(new))
        )
        # As it is kept, a list is as ALTER takes it.
        said = sql.SQL(value) if name in _LISTS and value else sql.Literal(value)
        setting = sql.Identifier(*name.split("."))
        yield sql.SQL("ALTER {} SET {} TO {}").format(whose, setting, said)
