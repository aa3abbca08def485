"""Every setting of the platform. Defaults are the embedded set-up; the environment says the rest.

`.env.example` lists the variables. A wrong or missing one stops the start with a sentence.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import cast

from django.core.exceptions import ImproperlyConfigured
from django.utils.csp import CSP
from django.utils.translation import gettext_lazy as _

from config import time_limits
from config.console_theme import UNFOLD  # noqa: F401  (read by django-unfold)
from config.environment_reader import EnvironmentReader, Secret, make_folder
from config.local_secrets import MadeWhenNeeded, local_secret
from config.mail_server import mail_server
from config.plaintext import plaintext_hosts_of, plaintext_hosts_of_postgresql
from config.postgresql import pooled

BASE_DIR = Path(__file__).resolve().parent.parent

env = EnvironmentReader()
env.read_env(BASE_DIR / ".env")

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")

# --- Where it runs --------------------------------------------------------------------------
DEBUG = env.flag("DEBUG", default=True)
# The default is for manage.py, whose server listens on loopback alone; config.wsgi and config.asgi
# are served wherever somebody likes, and want to hear it (config.unasked_debug).
DEBUG_IS_SAID = env.is_said("DEBUG")
HOST = env.str("HOST", default="127.0.0.1")
PORT = env.whole("PORT", default=8000, least=1, most=65535)
if DEBUG and HOST not in LOOPBACK_HOSTS:
    raise ImproperlyConfigured(
        f"DEBUG is on and HOST is {HOST}: other machines could sign in with the development code. "
        "Set DEBUG=0 (with its secrets, see .env.example) or HOST=127.0.0.1."
    )
DATA_DIR = env.folder("DATA_DIR", default=BASE_DIR / "data")
# What the processes of one machine count is summed up from here (ops.services.metric_files).
METRICS_DIR = env.folder("METRICS_DIR", default=DATA_DIR / "metrics")
# Which version this is, as heartbeats say it: a tag, or the id of a commit.
VERSION = env.str("VERSION", default="")
# Free space, in MB, below which the platform says that it is not healthy.
LEAST_FREE_DISK_MB = env.whole("LEAST_FREE_DISK_MB", default=500)


def _given(name: str) -> Secret:
    """Read a secret from the environment; an empty text where one may be made, in development."""
    value = env.secret(name)
    if value or DEBUG:
        return value
    raise ImproperlyConfigured(
        f"{name} is not set and DEBUG is off. Set it to a long random text and keep it secret, "
        'such as: python -c "import secrets; print(secrets.token_urlsafe(48))". '
        f"{name}_FILE names a file that it stands in."
    )


def _made(name: str) -> Secret:
    """A secret of development, made once and kept in DATA_DIR."""
    make_folder("DATA_DIR", DATA_DIR)
    try:
        return Secret(local_secret(DATA_DIR / "secrets" / name.lower()))
    except OSError as error:
        raise ImproperlyConfigured(f"{name} cannot be kept in DATA_DIR: {error}.") from error


def _secret(name: str) -> Secret:
    """A secret; in development it is made when somebody first looks at it."""
    return _given(name) or cast("Secret", MadeWhenNeeded(lambda: _made(name)))


def _keys(name: str) -> Sequence[Secret]:
    """The keys of one purpose, newest first (docs/keys.md)."""
    if value := _given(name):
        return tuple(map(Secret, value.split(",")))
    return cast("Sequence[Secret]", MadeWhenNeeded(lambda: (_made(name),)))


SECRET_KEY = _secret("SECRET_KEY")  # Django's own: sessions, signed addresses
# The key ring (ops.services.key_ring): the first of each makes what is new, all of them read.
HASH_KEYS = _keys("HASH_KEYS")
TOKEN_KEYS = _keys("TOKEN_KEYS")
FIELD_ENCRYPTION_KEYS = _keys("FIELD_ENCRYPTION_KEYS")
SEAL_KEYS = _keys("SEAL_KEYS")
# Ids of keys that are gone for good: their rows no longer refuse the start.
LOST_KEYS = env.list("LOST_KEYS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
if not DEBUG and not ALLOWED_HOSTS:
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS is not set and DEBUG is off. Name the hosts this shop answers to."
    )
# The health check asks from the machine itself.
ALLOWED_HOSTS += ["127.0.0.1", "localhost", "[::1]"]
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# How many proxies in front of us write X-Forwarded-For; 0 believes the connection alone.
TRUSTED_PROXIES = env.whole("TRUSTED_PROXIES", default=0)
if not DEBUG and not env.is_said("TRUSTED_PROXIES"):
    raise ImproperlyConfigured(
        "TRUSTED_PROXIES is not set and DEBUG is off. Say how many proxies in front write "
        "X-Forwarded-For, or 0 where there is none: unsaid, everybody behind a proxy would have "
        "one address, and one person's wrong passwords would hold all others back."
    )

# Hosts on a network of one's own, that are reached without TLS although they are elsewhere.
PLAINTEXT_HOSTS = env.list("PLAINTEXT_HOSTS", default=[])


def _demand_tls(name: str, hosts: set[str], advice: str) -> None:
    """Refuse that passwords and personal data cross a network for whoever listens there."""
    heard = ",".join(sorted(hosts - set(PLAINTEXT_HOSTS)))
    if heard and not DEBUG:
        raise ImproperlyConfigured(
            f"{name} reaches {heard} without TLS, and DEBUG is off: whoever listens on the way "
            f"reads it all. {advice} On a network that is nobody else's, PLAINTEXT_HOSTS={heard} "
            "allows it."
        )


# --- Applications ---------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "config.apps.ConsoleAdminConfig",
    "accounts",  # before auth, whose `changepassword` it replaces by one that leaves a trace
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "channels",
    "django_tasks_db",
    "config",
    "ops",
    "catalog",
    "lottery",
    "reviews",
    "favorites",
]

MIDDLEWARE = [
    "ops.request_id.RequestIdMiddleware",
    "ops.request_context.RequestContextMiddleware",
    "ops.api.observing.ObservingMiddleware",
    "ops.api.middleware.EnvelopeMiddleware",
    "ops.api.middleware.KnownHostMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "ops.api.maintenance.MaintenanceMiddleware",
    "config.page_middleware.Sessions",
    "ops.api.middleware.LanguageMiddleware",
    "ops.api.middleware.LengthMiddleware",
    "config.page_middleware.ForgeryChecks",
    "config.page_middleware.SignIns",
    "config.page_middleware.Messages",
    "accounts.console_session.ConsoleDeviceMiddleware",
    "config.page_middleware.Frames",
    "config.page_middleware.Scripts",
    "config.console_policy.ConsolePolicyMiddleware",
]

# Two checks look for Django's own of these by name; config.page_middleware has them for pages.
# mail.W001: without EMAIL_URL there is no mailer, and nobody is asked for an e-mail.
SILENCED_SYSTEM_CHECKS = ["security.W002", "security.W003", "mail.W001"]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.csp",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database -------------------------------------------------------------------------------
LOCK_TIMEOUT = time_limits.OF_REQUESTS.lock
DB_ECHO = env.flag("DB_ECHO", default=False)
if database := env.database("DATABASE_URL"):
    _demand_tls(
        "DATABASE_URL",
        plaintext_hosts_of_postgresql(database),
        "End it with ?sslmode=verify-full&sslrootcert=FILE, or at least with ?sslmode=require, "
        "which believes any certificate.",
    )
    DATABASES = {
        "default": pooled(
            database,
            size=env.whole("DB_POOL_SIZE", default=20, least=1),
            min_size=env.whole("DB_POOL_MIN_SIZE", default=1, least=0),
            overflow=env.whole("DB_MAX_OVERFLOW", default=0, least=0),
            timeout=env.float("DB_POOL_TIMEOUT", default=10),
            recycle=env.float("DB_POOL_RECYCLE", default=1800),
            max_idle=env.float("DB_POOL_MAX_IDLE", default=600),
        )
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            # Elsewhere for a command that works on a restored backup.
            "NAME": env.folder("SQLITE_FILE", default=DATA_DIR / "db.sqlite3"),
            "OPTIONS": {
                # Two deferred transactions that both want to write fail; an immediate one waits.
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                # FULL: what was acknowledged survives a power cut.
                # recursive_triggers: INSERT OR REPLACE must not slip past a ledger's triggers.
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
                "PRAGMA recursive_triggers=ON;",
            },
        }
    }
# Where pg_dump and the like are, if neither on PATH nor where Debian's packages put them.
PG_TOOLS_DIR = env.str("PG_TOOLS_DIR", default="")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Cache, channel layer, background work ----------------------------------------------------
REDIS_URL = env.address("REDIS_URL", "redis", "rediss")
_demand_tls(
    "REDIS_URL", plaintext_hosts_of(REDIS_URL, demands_tls="rediss"), "Begin it with rediss://."
)
# Before every name in Redis, so that others may use the same one. RQ reads its own when it is
# imported.
REDIS_PREFIX = "points"
os.environ.setdefault("RQ_KEY_PREFIX", f"{REDIS_PREFIX}:rq")
if REDIS_URL:
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": REDIS_PREFIX,
        }
    }
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [REDIS_URL], "prefix": REDIS_PREFIX},
        }
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels.layers.InMemoryChannelLayer",
            # One channel carries the pushes of the whole process, for as long as it runs: a
            # burst must not overflow it, and its membership must not expire after a day.
            "CONFIG": {"capacity": 100_000, "group_expiry": 100 * 365 * 86_400},
        }
    }
# Where tasks wait until a worker has time for them (ops.services.queue).
TASK_ENGINE = env.str("TASK_ENGINE", default="database")
TASK_BACKENDS = {
    "database": "ops.logs.tasks.TracedBackend",
    "redis": "ops.services.redis_queue.RedisBackend",
}
if TASK_ENGINE not in TASK_BACKENDS:
    raise ImproperlyConfigured(f"TASK_ENGINE is {TASK_ENGINE!r}: write database or redis.")
if TASK_ENGINE == "redis" and not REDIS_URL:
    raise ImproperlyConfigured(
        "TASK_ENGINE is redis and REDIS_URL is not set. Set it, or leave TASK_ENGINE out: tasks "
        "then wait in the database."
    )
TASKS = {"default": {"BACKEND": TASK_BACKENDS[TASK_ENGINE], "QUEUES": ["default"]}}
# Read by django-rq, of which nothing but how a result is looked up is used.
RQ_QUEUES = {"default": {"URL": REDIS_URL, "SERIALIZER": "rq.serializers.JSONSerializer"}}

# --- People ---------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.authentication.ConsoleBackend"]
# The first one hashes; what another one hashed is read, and hashed anew at the next sign-in.
PASSWORD_HASHERS = [
    "config.password_hasher.ConsoleHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("username", "phone", "nickname", "email")},
    },
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "config.password_rules.NotOfOwnNames"},
    {"NAME": "config.password_rules.NotEasyToGuess"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
# A session of the console ends after a working day, whatever is done in it.
SESSION_COOKIE_AGE = 3600 * env.whole("CONSOLE_SESSION_HOURS", default=12, least=1)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
# Outside of development staff of the platform enter with a second factor alone, and owners of shops
# are offered one. Whoever has one is asked for it everywhere.
SECOND_FACTOR_ASKED = not DEBUG

SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=7200),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=30),
    "UPDATE_LAST_LOGIN": False,
}
REFRESH_GRACE = timedelta(seconds=10)

PHONE_PATTERN = env.pattern("PHONE_PATTERN", default=r"\A1[3-9][0-9]{9}\Z")
CONSOLE_SENDER = "accounts.sms.ConsoleSender"
# One class or several, between commas: the next one takes over where the one before it fails.
SMS_SENDER = env.str("SMS_SENDER", default=CONSOLE_SENDER if DEBUG else "")
_senders = {name.strip() for name in SMS_SENDER.split(",")}
if not DEBUG and _senders & {"", CONSOLE_SENDER}:
    raise ImproperlyConfigured(
        f"SMS_SENDER is {SMS_SENDER or 'not set'} and DEBUG is off: sign-in codes would stand in "
        "the log. Name the class that hands them to a provider, or accounts.sms.NoSender while "
        "there is none: nobody gets a code then."
    )
SMS_ALIYUN_ACCESS_KEY_ID = env.confidential("SMS_ALIYUN_ACCESS_KEY_ID")
SMS_ALIYUN_ACCESS_KEY_SECRET = env.confidential("SMS_ALIYUN_ACCESS_KEY_SECRET")
SMS_ALIYUN_SIGN_NAME = env.str("SMS_ALIYUN_SIGN_NAME", default="")
SMS_ALIYUN_TEMPLATE = env.str("SMS_ALIYUN_TEMPLATE", default="")
SMS_ALIYUN_ENDPOINT = env.base("SMS_ALIYUN_ENDPOINT") or "https://dysmsapi.aliyuncs.com"
SMS_TENCENT_SECRET_ID = env.confidential("SMS_TENCENT_SECRET_ID")
SMS_TENCENT_SECRET_KEY = env.confidential("SMS_TENCENT_SECRET_KEY")
SMS_TENCENT_APP_ID = env.str("SMS_TENCENT_APP_ID", default="")
SMS_TENCENT_SIGN_NAME = env.str("SMS_TENCENT_SIGN_NAME", default="")
SMS_TENCENT_TEMPLATE = env.str("SMS_TENCENT_TEMPLATE", default="")
SMS_TENCENT_PARAMETERS = env.list("SMS_TENCENT_PARAMETERS", default=["code"])
SMS_TENCENT_REGION = env.str("SMS_TENCENT_REGION", default="ap-guangzhou")
SMS_TENCENT_ENDPOINT = env.base("SMS_TENCENT_ENDPOINT") or "https://sms.tencentcloudapi.com"
# What each sender of ours needs to be told.
_needed = {
    "accounts.sms.aliyun.AliyunSender": {
        "SMS_ALIYUN_ACCESS_KEY_ID": SMS_ALIYUN_ACCESS_KEY_ID,
        "SMS_ALIYUN_ACCESS_KEY_SECRET": SMS_ALIYUN_ACCESS_KEY_SECRET,
        "SMS_ALIYUN_SIGN_NAME": SMS_ALIYUN_SIGN_NAME,
        "SMS_ALIYUN_TEMPLATE": SMS_ALIYUN_TEMPLATE,
    },
    "accounts.sms.tencent.TencentSender": {
        "SMS_TENCENT_SECRET_ID": SMS_TENCENT_SECRET_ID,
        "SMS_TENCENT_SECRET_KEY": SMS_TENCENT_SECRET_KEY,
        "SMS_TENCENT_APP_ID": SMS_TENCENT_APP_ID,
        "SMS_TENCENT_SIGN_NAME": SMS_TENCENT_SIGN_NAME,
        "SMS_TENCENT_TEMPLATE": SMS_TENCENT_TEMPLATE,
    },
}
for _sender in sorted(_senders & _needed.keys()):
    if _missing := [name for name, value in _needed[_sender].items() if not value]:
        raise ImproperlyConfigured(
            f"SMS_SENDER names {_sender}, and {_missing[0]} is not set. It stands in the console "
            "of the provider."
        )
if _unknown := set(SMS_TENCENT_PARAMETERS) - {"code", "minutes"}:
    raise ImproperlyConfigured(
        f"SMS_TENCENT_PARAMETERS names {min(_unknown)}: a template is told code and minutes alone."
    )
for _name, _endpoint in (
    ("SMS_ALIYUN_ENDPOINT", SMS_ALIYUN_ENDPOINT),
    ("SMS_TENCENT_ENDPOINT", SMS_TENCENT_ENDPOINT),
):
    _demand_tls(
        _name, plaintext_hosts_of(_endpoint, demands_tls="https"), "Begin it with https://."
    )
SMS_FIXED_CODE = env.str("SMS_FIXED_CODE", default="123456" if DEBUG else "")
if SMS_FIXED_CODE and not DEBUG:
    raise ImproperlyConfigured(
        "SMS_FIXED_CODE is set and DEBUG is off: anybody could sign in as anybody. Remove it."
    )
SMS_CODE_LIFETIME = timedelta(seconds=300)
SMS_RESEND_AFTER = timedelta(seconds=60)
SMS_CODES_A_DAY = env.whole("SMS_CODES_A_DAY", default=10)
SMS_CODES_AN_HOUR_PER_ADDRESS = env.whole("SMS_CODES_AN_HOUR_PER_ADDRESS", default=100)
SMS_CODES_AN_HOUR_PER_PREFIX = env.whole("SMS_CODES_AN_HOUR_PER_PREFIX", default=200)
SMS_CODES_A_DAY_IN_ALL = env.whole("SMS_CODES_A_DAY_IN_ALL", default=10_000)
SMS_PUMPING_CODES = env.whole("SMS_PUMPING_CODES", default=100)
SMS_PUMPING_PERCENT = env.whole("SMS_PUMPING_PERCENT", default=10, most=100)
SMS_PUMPING_MINUTES = env.whole("SMS_PUMPING_MINUTES", default=30, least=2, most=1440)
SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS = env.whole("SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS", default=300)
# The mini-program that people sign in by; without it WeChat counts as away (1008).
WECHAT_APP_ID = env.str("WECHAT_APP_ID", default="")
WECHAT_APP_SECRET = env.confidential("WECHAT_APP_SECRET")
if WECHAT_APP_ID and not WECHAT_APP_SECRET:
    raise ImproperlyConfigured("WECHAT_APP_ID is set and WECHAT_APP_SECRET is not.")
WECHAT_URL = env.base("WECHAT_URL") or "https://api.weixin.qq.com"
_demand_tls(
    "WECHAT_URL", plaintext_hosts_of(WECHAT_URL, demands_tls="https"), "Begin it with https://."
)
# On a developer's machine everybody has the same address.
LIMIT_LOOPBACK_ADDRESSES = env.flag("LIMIT_LOOPBACK_ADDRESSES", default=not DEBUG)

# --- Points, orders, receipts ----------------------------------------------------------------
REGISTER_BONUS = env.whole("REGISTER_BONUS", default=1000)  # points
POINTS_PER_YUAN = env.whole("POINTS_PER_YUAN", default=10)
UPLOADS_A_DAY = env.whole("UPLOADS_A_DAY", default=20)
UPLOADS_A_DAY_PREMIUM = env.whole("UPLOADS_A_DAY_PREMIUM", default=50)
LOW_STOCK = env.whole("LOW_STOCK", default=5)  # units at which a product of the mall is short
ORDER_LIFETIME = timedelta(days=env.whole("ORDER_LIFETIME_DAYS", default=30))
# Public answers and what they are made of, in the memory of each process (ops.services.kept).
KEPT_ANSWERS_BYTES = env.whole("KEPT_ANSWERS_MB", default=32) * 1024 * 1024
REQUIRE_IDEMPOTENCY_KEY = env.flag("REQUIRE_IDEMPOTENCY_KEY", default=False)
# What had another name in an earlier version: a setting may still say it, and so may a queued task.
MOVED_NAMES = {
    "reviews.reading.engine.RapidReceiptReader": "reviews.ocr.engine.RapidReceiptReader",
    "reviews.services.reading.read_receipt": "reviews.services.process.process_receipt",
}
RECEIPT_READER = env.str("RECEIPT_READER", default="reviews.ocr.engine.RapidReceiptReader")
RECEIPT_READER = MOVED_NAMES.get(RECEIPT_READER, RECEIPT_READER)
# So long a worker may have a receipt to itself before it counts as killed...
READING_LEASE = timedelta(seconds=env.whole("READING_LEASE_SECONDS", default=45))
# ...and so long after it was queued its task is first looked for. One that still waits is not lost.
READING_QUEUED_TOO_LONG = timedelta(
    seconds=env.whole("READING_QUEUED_TOO_LONG_SECONDS", default=60)
)
# So long a worker has a run of a periodic job to itself; it renews that three times as often.
# Less than ten cannot be held where a database or a machine is slow for a moment; drills do it.
JOB_LEASE = timedelta(seconds=env.whole("JOB_LEASE_SECONDS", default=30, least=1 if DEBUG else 10))
# Above this many points over the estimate a second person has to agree.
ADJUSTMENT_SECOND_PERSON_ABOVE = env.whole("ADJUSTMENT_SECOND_PERSON_ABOVE", default=10_000)

# --- API ------------------------------------------------------------------------------------
REQUESTS_PER_PERSON = env.rate("REQUESTS_PER_PERSON", default="600/min")
UPLOADS_PER_PERSON = env.rate("UPLOADS_PER_PERSON", default="60/min")
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.SessionTokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["ops.api.renderer.EnvelopeRenderer"],
    "DEFAULT_PARSER_CLASSES": ["ops.api.parsers.JSONParser"],
    "DEFAULT_THROTTLE_CLASSES": ["ops.api.throttle.PersonThrottle"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "ops.api.renderer.OnlyJSON",
    "DEFAULT_SCHEMA_CLASS": "ops.api.schema.EnvelopeSchema",
    "EXCEPTION_HANDLER": "ops.api.exception_handler.answer_exception",
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Restaurant points, lottery and mall",
    "DESCRIPTION": "Every JSON answer is an envelope of `code`, `msg` and `data`: `code` is 0, or "
    "says which refusal it is. An address that is none is 1010 (404), a method that it does not "
    "take 1012 (405). What a schema cannot say stands in docs/api.md: retries with the "
    "same key, cursors, sockets, how a draw is recomputed.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVERS": [{"url": "/"}],
    "DEFAULT_GENERATOR_CLASS": "ops.api.schema.EnglishGenerator",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.api_documents.complete",
    ],
    "TAGS": [
        {"name": "auth", "description": "Signing in, staying signed in, signing out."},
        {"name": "user", "description": "The person who is signed in, and their points."},
        {"name": "config", "description": "What the platform tells its apps about its rules."},
        {"name": "shops", "description": "Where points are good."},
        {"name": "lottery", "description": "Wheels, draws, and how anyone recomputes them."},
        {"name": "exchange", "description": "The mall: products and orders."},
        {"name": "favorites", "description": "What a person keeps to find it again."},
        {"name": "photo", "description": "Receipts: a photo of one is worth points."},
        {"name": "merchant", "description": "For people who work at a shop."},
        {"name": "system", "description": "About the platform itself. Not in the envelope."},
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "OrderSourceEnum": "catalog.models.OrderSource",
        "PointsSourceEnum": "accounts.models.PointsSource",
        "PointsTypeEnum": ["earn", "spend"],
        "ProductKindEnum": "catalog.models.ProductKind",
        "UserStatusEnum": "accounts.models.UserStatus",
        "OrderStatusEnum": "catalog.models.OrderStatus",
        "ProductStatusEnum": ["active", "inactive"],
        "ReviewStatusEnum": "reviews.models.ReceiptStatus",
        "RiskReasonEnum": "reviews.risk.REASONS",
        "ProcessStatusEnum": "reviews.models.ProcessStatus",
    },
}
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=[])
CORS_URLS_REGEX = r"^/api/.*$"
CORS_ALLOW_HEADERS = [
    "accept",
    "accept-language",
    "authorization",
    "content-type",
    "idempotency-key",
    "x-request-id",
]
CORS_EXPOSE_HEADERS = ["X-Request-ID", "Idempotent-Replay", "Retry-After"]
METRICS_TOKEN = env.confidential("METRICS_TOKEN")
# Where people reach the platform: links in notices lead there, its certificate is looked at.
PUBLIC_URL = env.base("PUBLIC_URL")
# What a new platform is told by, until staff change it in the console.
ALERT_CHANNELS = env.confidential("ALERT_CHANNELS").split()
EMAIL_URL = env.confidential("EMAIL_URL")
# Hosts of the own network that channels of the console may lead to; all others have to be outside.
_this_machine = ["localhost", "127.0.0.1", "::1"] if DEBUG else []
ALERT_INNER_HOSTS = env.list("ALERT_INNER_HOSTS", default=_this_machine)
# Letters to people go out by the same server, as its user; in development they appear where the
# server was started. Without either nobody is written to.
_demand_tls(
    "EMAIL_URL", plaintext_hosts_of(EMAIL_URL, demands_tls="mailtos"), "Begin it with mailtos://."
)
_server, DEFAULT_FROM_EMAIL = mail_server(EMAIL_URL)
_backend = "smtp" if _server else "console" if DEBUG else ""
_mailer = {"BACKEND": f"django.core.mail.backends.{_backend}.EmailBackend", "OPTIONS": _server}
MAILERS = {"default": _mailer} if _backend else {}
# Where links in letters lead: never to what a request says that it asked for. Empty where no letter
# is sent.
_here = PUBLIC_URL or (f"http://{HOST}:{PORT}" if DEBUG else "")
LINKS_URL = _here if MAILERS else ""
# Asked for every minute; whoever is there says so when it stays away.
ALERT_HEARTBEAT_URL = env.address("ALERT_HEARTBEAT_URL", "https", "http")
# Bodies over this many bytes are refused with 1018; the receipt upload has a limit of its own.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
# What waits for its turn to be decoded waits on disk.
FILE_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
RECEIPT_MAX_BYTES = 10 * 1024 * 1024
RECEIPT_MAX_PIXELS = 40_000_000

# --- Files ----------------------------------------------------------------------------------
# Private files are reached by signed addresses alone; MEDIA_URL is served by nobody.
MEDIA_ROOT = DATA_DIR / "media"
MEDIA_URL = "/media/"
SIGNED_ADDRESS_LIFETIME = timedelta(minutes=15)
# Where public files are asked for instead of here: a CDN in front of us. The bucket stays private.
PUBLIC_FILES_URL = env.base("PUBLIC_FILES_URL")
if PUBLIC_FILES_URL.startswith("http:") and not DEBUG:
    raise ImproperlyConfigured(
        "PUBLIC_FILES_URL has no TLS and DEBUG is off: pages that came with TLS show no pictures "
        "that did not. Begin it with https://."
    )
S3_BUCKET = env.str("S3_BUCKET", default="")
S3_ENDPOINT_URL = env.address("S3_ENDPOINT_URL", "https", "http")
_demand_tls(
    "S3_ENDPOINT_URL",
    plaintext_hosts_of(S3_ENDPOINT_URL, demands_tls="https"),
    "Begin it with https://.",
)
# Backups: docs/operations/backups.md.
# A folder that outlives the disk of the database is better; a bucket beside it is best.
BACKUP_DIR = env.folder("BACKUP_DIR", default=DATA_DIR / "backups")
BACKUP_STORAGE_BUCKET = env.str("BACKUP_STORAGE_BUCKET", default="")
BACKUP_METHOD = env.str("BACKUP_METHOD", default="dump")  # of PostgreSQL
if BACKUP_METHOD not in {"dump", "pages"}:
    raise ImproperlyConfigured(f"BACKUP_METHOD is {BACKUP_METHOD!r}: write dump or pages.")
BACKUP_SCHEDULE = env.cron("BACKUP_SCHEDULE", default="0 2 * * *")
# All of so many days are kept, then the newest of each week and of each month for so many of them.
BACKUP_RETENTION_DAYS = env.whole("BACKUP_RETENTION_DAYS", default=30, least=1, most=3650)
BACKUP_RETENTION_WEEKS = env.whole("BACKUP_RETENTION_WEEKS", default=0, most=520)
BACKUP_RETENTION_MONTHS = env.whole("BACKUP_RETENTION_MONTHS", default=0, most=120)
# Seals belong where whoever writes the database cannot write: best in a bucket of their own.
SEALS_BUCKET = env.str("SEALS_BUCKET", default=S3_BUCKET)
SEALS_DIR = env.folder("SEALS_DIR", default=DATA_DIR / "seals")
# Without them boto3 looks where it always does: a role of the machine, its own files.
s3_keys = {
    option: key
    for option, key in (
        ("access_key", env.confidential("AWS_ACCESS_KEY_ID")),
        ("secret_key", env.confidential("AWS_SECRET_ACCESS_KEY")),
    )
    if key
}


def _s3(bucket: str, **options: str | int) -> dict[str, object]:
    """A storage in a bucket; private, and nothing is overwritten unless `options` say it."""
    from botocore.config import Config  # takes a while to import, and is no use without a bucket

    # A storage that is away is said to be so while whoever asked still waits.
    client = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": bucket,
            "endpoint_url": S3_ENDPOINT_URL or None,
            "region_name": env.str("S3_REGION", default="") or None,
            "default_acl": "private",
            "file_overwrite": False,
            "client_config": client,
            **s3_keys,
            **options,
        },
    }


def _of_backups(bucket: str) -> dict[str, object]:
    """The storage of backups, whose files may be larger than the memory."""
    # What is written anew, such as how far the WAL goes, is replaced in one step. What is read is
    # held in a file when it is larger than this.
    return _s3(bucket, location="backups", file_overwrite=True, max_memory_size=16 << 20)


STORAGES = {
    "default": (
        _s3(S3_BUCKET) if S3_BUCKET else {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    ),
    "seals": (
        _s3(SEALS_BUCKET, location="seals")
        if SEALS_BUCKET
        else {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": SEALS_DIR},
        }
    ),
    **({"backups": _of_backups(BACKUP_STORAGE_BUCKET)} if BACKUP_STORAGE_BUCKET else {}),
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG

# --- Language and time ------------------------------------------------------------------------
LANGUAGES = [("zh-hans", _("Simplified Chinese")), ("en", _("English"))]
# Of commands, and wherever nobody asks for another one.
LANGUAGE_CODE = env.str("LANGUAGE_CODE", default="zh-hans")
if LANGUAGE_CODE not in dict(LANGUAGES):
    raise ImproperlyConfigured(f"LANGUAGE_CODE is {LANGUAGE_CODE!r}: write zh-hans or en.")
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = "config.formats"
USE_I18N = True
TIME_ZONE = env.time_zone("TIME_ZONE", default="Asia/Shanghai")
USE_TZ = True

# --- Security ---------------------------------------------------------------------------------
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SECURE_CSP = {
    "default-src": [CSP.SELF],
    "img-src": [
        CSP.SELF,
        "data:",
        "blob:",
        *([f"{PUBLIC_FILES_URL}/"] if PUBLIC_FILES_URL else []),
    ],
    "connect-src": [CSP.SELF, "ws:", "wss:"],
    "script-src": [CSP.SELF, CSP.NONCE],
    "style-src": [CSP.SELF, CSP.NONCE],
    "object-src": [CSP.NONE],
    "base-uri": [CSP.SELF],
    "frame-ancestors": [CSP.NONE],
    "form-action": [CSP.SELF],
}
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_SSL_REDIRECT = env.flag("SECURE_SSL_REDIRECT", default=not DEBUG)
SECURE_REDIRECT_EXEMPT = [r"^health$", r"^api/health$", r"^api/ready$", r"^metrics$"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SECURE_HSTS_SECONDS = env.whole("SECURE_HSTS_SECONDS", default=0 if DEBUG else 31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not DEBUG

# Whoever reads an error page or an error report sees no more than in the logs.
DEFAULT_EXCEPTION_REPORTER = "ops.error_reports.ErrorReporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "ops.error_reports.ErrorReportFilter"

# --- Logs and errors --------------------------------------------------------------------------
# Files of the log; None where none are wanted, as where a container's output is collected.
LOG_DIR = (
    env.folder("LOG_DIR", default=DATA_DIR / "logs") if DEBUG or env.is_said("LOG_DIR") else None
)
LOG_REQUESTS = env.flag("LOG_REQUESTS", default=True)
SLOW_REQUEST_SECONDS = env.whole("SLOW_REQUEST_MS", default=5000, least=1) / 1000
SLOW_QUERY_SECONDS = env.whole("SLOW_QUERY_MS", default=500, least=1) / 1000
SENTRY_DSN = env.sentry("SENTRY_DSN")
SENTRY_ENVIRONMENT = env.str("SENTRY_ENVIRONMENT", default="development" if DEBUG else "production")
_demand_tls(
    "SENTRY_DSN", plaintext_hosts_of(SENTRY_DSN, demands_tls="https"), "Begin it with https://."
)
_WRITTEN = ["request_id", "masking"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "ops.request_id.RequestIdFilter"},
        "masking": {"()": "ops.masking.MaskingFilter"},
        "said_before": {"()": "ops.request_id.SaidBeforeFilter"},
    },
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"},
        "json": {"()": "ops.logs.lines.JsonFormatter"},
    },
    "handlers": {
        "console": {
            "class": "ops.logs.lines.Console",
            "formatter": "line" if DEBUG else "json",
            "filters": _WRITTEN,
        },
        "files": {
            "class": "ops.logs.files.DailyFiles",
            "formatter": "json",
            "filters": _WRITTEN,
        },
        "errors": {"class": "ops.logs.captured.ErrorHandler", "level": "ERROR"},
    },
    "root": {
        "handlers": ["console", "files", "errors"],
        "level": env.log_level("LOG_LEVEL", default="INFO"),
    },
    "loggers": {
        # One for each request: no other handler, such as a library's, is asked about them.
        "request": {"handlers": ["console", "files"], "propagate": False},
        # A command that fails shows its trace by itself.
        "commands": {"handlers": ["files", "errors"], "propagate": False},
        "django": {"handlers": [], "propagate": True},
        # One line per refused request says nothing that the answer's code does not say.
        "django.request": {"level": "ERROR", "filters": ["said_before"]},
        # Its lines have the values of statements in them; DB_ECHO logs their forms.
        "django.db.backends": {"level": "INFO"},
        # Whoever guards the platform reads it: it is there whatever LOG_LEVEL says.
        "security": {"level": "INFO"},
        "daphne": {"level": "WARNING"},
        # The worker says hello at every look into the queue.
        "django_tasks_db": {"level": "WARNING"},
        "django_tasks": {"level": "WARNING"},
        # These name addresses of channels, with their secrets, at DEBUG, and people at INFO.
        "apprise": {"level": "WARNING"},
        "urllib3": {"level": "WARNING"},
        # What they say of a request has the keys of the platform, phones and codes in it.
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        "tencentcloud_sdk_common": {"level": "WARNING"},
        "darabonba-core": {"level": "WARNING"},
        "rq.worker": {"level": "WARNING"},
        "rq.job": {"level": "WARNING"},
    },
}
