"""What a backup knows of the configuration: the environment without its secrets, and versions.

Live settings lie in the database. Secrets are in no backup: who has one and the keys has it all.
"""

import json
import os
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from django.conf import settings

PIECE = "configuration"  # of a backup

# Of `.env.example`, what nobody may misuse. Whatever is not named here counts as a secret.
_HARMLESS = """
DEBUG HOST PORT DATA_DIR METRICS_DIR VERSION LEAST_FREE_DISK_MB LOG_LEVEL LOG_DIR LOG_REQUESTS
SLOW_REQUEST_MS SLOW_QUERY_MS SENTRY_ENVIRONMENT DB_ECHO LOST_KEYS ALLOWED_HOSTS
CSRF_TRUSTED_ORIGINS CORS_ALLOWED_ORIGINS TRUSTED_PROXIES SMS_SENDER SECURE_SSL_REDIRECT
SECURE_HSTS_SECONDS PLAINTEXT_HOSTS STATIC_ROOT PUBLIC_URL ALERT_INNER_HOSTS DB_POOL_SIZE
DB_MAX_OVERFLOW DB_POOL_MIN_SIZE DB_POOL_MAX_IDLE DB_POOL_TIMEOUT DB_POOL_RECYCLE SQLITE_FILE
PG_TOOLS_DIR BACKUP_DIR BACKUP_STORAGE_BUCKET BACKUP_METHOD BACKUP_SCHEDULE BACKUP_RETENTION_DAYS
BACKUP_RETENTION_WEEKS BACKUP_RETENTION_MONTHS TASK_ENGINE S3_BUCKET S3_ENDPOINT_URL S3_REGION
PUBLIC_FILES_URL SEALS_BUCKET SEALS_DIR PHONE_PATTERN SMS_CODES_A_DAY
SMS_CODES_AN_HOUR_PER_ADDRESS SMS_WRONG_CODES_AN_HOUR_PER_ADDRESS SMS_CODES_AN_HOUR_PER_PREFIX
SMS_CODES_A_DAY_IN_ALL SMS_PUMPING_CODES SMS_PUMPING_PERCENT SMS_PUMPING_MINUTES
SMS_ALIYUN_SIGN_NAME SMS_ALIYUN_TEMPLATE SMS_ALIYUN_ENDPOINT SMS_TENCENT_APP_ID
SMS_TENCENT_SIGN_NAME SMS_TENCENT_TEMPLATE SMS_TENCENT_PARAMETERS SMS_TENCENT_REGION
SMS_TENCENT_ENDPOINT WECHAT_APP_ID WECHAT_URL LIMIT_LOOPBACK_ADDRESSES CONSOLE_SESSION_HOURS
REGISTER_BONUS POINTS_PER_YUAN UPLOADS_A_DAY UPLOADS_A_DAY_PREMIUM LOW_STOCK ORDER_LIFETIME_DAYS
ADJUSTMENT_SECOND_PERSON_ABOVE REQUESTS_PER_PERSON UPLOADS_PER_PERSON REQUIRE_IDEMPOTENCY_KEY
KEPT_ANSWERS_MB READING_LEASE_SECONDS READING_QUEUED_TOO_LONG_SECONDS JOB_LEASE_SECONDS
RECEIPT_READER LANGUAGE_CODE TIME_ZONE
"""
HARMLESS = frozenset(_HARMLESS.split())
# An address with a password, or a question that may hold a key.
_CONFIDES = re.compile(r"://[^/]*@|\?")


def configuration(environment: Mapping[str, str] = os.environ) -> Mapping[str, Any]:
    """What is kept: settings that were said, versions. A setting that is left out has no line."""
    said = {name: environment.get(name, "") for name in sorted(HARMLESS)}
    return {
        "settings": {
            name: value for name, value in said.items() if value and not _CONFIDES.search(value)
        },
        "python": platform.python_version(),
        "packages": {
            package.metadata["Name"]: package.version
            for package in sorted(metadata.distributions(), key=lambda one: one.metadata["Name"])
        },
        "code": settings.VERSION,
    }


def written(environment: Mapping[str, str] = os.environ) -> bytes:
    """The piece of a backup: JSON, in UTF-8."""
    kept = configuration(environment)
    return json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
