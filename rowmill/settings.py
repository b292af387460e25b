"""Django's settings, all of them made from the environment by `wiring`."""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from rowmill import registry
from rowmill.errors import ConfigError
from rowmill.storage.url import find_origins, read_place
from rowmill.wiring import POSTGRES, env, kept_secret, use_sound_sqlite

use_sound_sqlite()

PACKAGE = Path(__file__).resolve().parent
DATA_DIR: Path = env("ROWMILL_DATA_DIR").expanduser().resolve()
KEY_DIR = DATA_DIR / "keys"

DEBUG: bool = env("ROWMILL_DEBUG")
SECRET_KEY: str = kept_secret(KEY_DIR, "secret.key", env("SECRET_KEY"))
ROWMILL_ENCRYPTION_KEY: str = kept_secret(KEY_DIR, "encryption.key", env("ROWMILL_ENCRYPTION_KEY"))
ALLOWED_HOSTS: list[str] = env("ROWMILL_ALLOWED_HOSTS")
ROWMILL_BASE_URL: str = env("ROWMILL_BASE_URL").rstrip("/")

# ------------------------------------------------------------------------------------------------ Rowmill's own
ROWMILL_MAX_UPLOAD_BYTES: int = env("ROWMILL_MAX_UPLOAD_BYTES")
ROWMILL_KIND_UPLOAD_BYTES: dict[str, int] = env("ROWMILL_KIND_UPLOAD_BYTES")
ROWMILL_MAX_FILE_BYTES: int = env("ROWMILL_MAX_FILE_BYTES")
ROWMILL_MAX_CHUNK_BYTES: int = env("ROWMILL_MAX_CHUNK_BYTES")
ROWMILL_SESSION_HOURS: int = env("ROWMILL_SESSION_HOURS")
ROWMILL_DIRECT_UPLOADS: bool = env("ROWMILL_DIRECT_UPLOADS")
ROWMILL_ORG_BYTES: int = env("ROWMILL_ORG_BYTES")
ROWMILL_ORG_FILES: int = env("ROWMILL_ORG_FILES")
ROWMILL_ORG_SESSIONS: int = env("ROWMILL_ORG_SESSIONS")
ROWMILL_MIN_FREE_BYTES: int = env("ROWMILL_MIN_FREE_BYTES")
ROWMILL_CONCURRENCY: int = env("ROWMILL_CONCURRENCY")
ROWMILL_POLL_SECONDS: float = env("ROWMILL_POLL_SECONDS")
ROWMILL_SWEEP_SECONDS: float = env("ROWMILL_SWEEP_SECONDS")
ROWMILL_LEASE_SECONDS: int = env("ROWMILL_LEASE_SECONDS")
ROWMILL_INSPECT_MEMORY_BYTES: int = env("ROWMILL_INSPECT_MEMORY_BYTES")
ROWMILL_INSPECT_SECONDS: int = env("ROWMILL_INSPECT_SECONDS")
ROWMILL_DUPLICATE_HOURS: int = env("ROWMILL_DUPLICATE_HOURS")
ROWMILL_BROKER_URL: str = env("ROWMILL_BROKER_URL")
ROWMILL_BEAT_SECONDS: int = env("ROWMILL_BEAT_SECONDS")
ROWMILL_STOP_SECONDS: int = env("ROWMILL_STOP_SECONDS")
ROWMILL_SHARED_STORAGE: bool = env("ROWMILL_SHARED_STORAGE")
ROWMILL_ADMIN_EMAIL: str = env("ROWMILL_ADMIN_EMAIL")
ROWMILL_ADMIN_PASSWORD: str = env("ROWMILL_ADMIN_PASSWORD")
ROWMILL_ORG_NAME: str = env("ROWMILL_ORG_NAME")
ROWMILL_STORAGE_URL: str = env("ROWMILL_STORAGE_URL")
ROWMILL_SCRATCH_BYTES: int = env("ROWMILL_SCRATCH_BYTES")
STORAGE_DIR = DATA_DIR / "storage"
SCRATCH_DIR = DATA_DIR / "scratch"
registry.extend(env("ROWMILL_KINDS"), env("ROWMILL_PAYERS"), env("ROWMILL_CHECKS"))

# ------------------------------------------------------------------------------------------------ Django
INSTALLED_APPS = [
    "rowmill",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "csp",
    *env("ROWMILL_APPS"),
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "rowmill.web.sessions.SessionLimits",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "rowmill.web.middleware.RequestMiddleware",
    "rowmill.web.middleware.ActionAddresses",
]
ROOT_URLCONF = "rowmill.urls"
WSGI_APPLICATION = "rowmill.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [PACKAGE / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "rowmill.web.context.frame",
            ],
            "libraries": {
                "rowmill": "rowmill.web.tags",
                "verdict": "rowmill.web.verdict_tags",
                "imports": "rowmill.web.import_tags",
            },
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "rowmill.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]


def _database(url: str) -> dict[str, Any]:
    """Give Django's database settings. Raises: ConfigError where Postgres is asked for and its driver is not there."""
    parts = urlsplit(url or f"sqlite:///{DATA_DIR / 'rowmill.sqlite3'}")
    return _postgres(parts) if parts.scheme in POSTGRES else _sqlite(parts)


def _sqlite(parts: SplitResult) -> dict[str, Any]:
    """Set up SQLite (docs/adr/0003-sqlite.md)."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "/" + unquote(parts.path).lstrip("/"),
        "ATOMIC_REQUESTS": False,
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA synchronous=FULL;PRAGMA foreign_keys=ON;PRAGMA cell_size_check=ON;",
        },
    }


WEB_CONNECTIONS = 20  # the web server's threads and the sweeper

# What ends what does not end by itself: the server gives up on a process that stopped in the middle of a transaction
# (and holds its locks), and both sides notice a peer that is no longer there.
_POSTGRES_LIMITS = {
    "statement_timeout": "120s",
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "15s",
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


def _postgres(parts: SplitResult) -> dict[str, Any]:
    """Set up Postgres through psycopg and its pool (docs/adr/0008-postgres.md). Raises: ConfigError without a driver."""
    if find_spec("psycopg") is None or find_spec("psycopg_pool") is None:
        raise ConfigError(
            "DATABASE_URL names a Postgres server, and what is needed to talk to one is not installed. "
            "Install it: pip install 'rowmill[cluster]'."
        )
    given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    most = env("ROWMILL_DATABASE_CONNECTIONS") or 2 * ROWMILL_CONCURRENCY + WEB_CONNECTIONS
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path).strip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": given.pop("host", "") or parts.hostname or "",
        "PORT": str(parts.port or ""),
        "ATOMIC_REQUESTS": False,
        "CONN_MAX_AGE": 0,  # given back to the pool, which keeps it
        "CONN_HEALTH_CHECKS": True,  # the pool looks whether a connection still lives before it hands it out
        "OPTIONS": {
            **given,
            "application_name": "rowmill",
            "connect_timeout": 5,
            "keepalives_idle": 20,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            "options": " ".join(f"-c {name}={value}" for name, value in _POSTGRES_LIMITS.items()),
            "pool": {"min_size": 1, "max_size": most, "timeout": 20.0, "max_lifetime": 1800.0, "name": "rowmill"},
        },
    }


DATABASES = {"default": _database(env("DATABASE_URL"))}

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en-us"
TIME_ZONE: str = env("ROWMILL_TIME_ZONE")
USE_I18N = False
USE_TZ = True
USE_THOUSAND_SEPARATOR = False
STATIC_URL = "/static/"
STATIC_ROOT: str | None = None  # nothing is collected: WhiteNoise serves straight from the package
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2_500  # the mapping has a box for each of up to 2,000 columns
FILE_UPLOAD_TEMP_DIR: str | None = None

# ------------------------------------------------------------------------------------------------ sign-in
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/bulk-upload"
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_ADAPTER = "rowmill.web.adapter.AccountAdapter"
ACCOUNT_RATE_LIMITS = {"login_failed": "20/m/ip,5/5m/key"}
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_PRESERVE_USERNAME_CASING = False
ACCOUNT_EMAIL_NOTIFICATIONS = False
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_FORMS = {
    "login": "rowmill.web.people_forms.SignIn",
    "change_password": "rowmill.web.people_forms.ChangePassword",
    "set_password": "rowmill.web.people_forms.SetPassword",
    "reset_password": "rowmill.web.people_forms.ResetPassword",
    "reset_password_from_key": "rowmill.web.people_forms.ResetPasswordKey",
}
PASSWORD_RESET_TIMEOUT = 3600
SESSION_COOKIE_AGE = env("ROWMILL_SESSION_IDLE_MINUTES") * 60
SESSION_SAVE_EVERY_REQUEST = False
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = False
CSRF_FAILURE_VIEW = "rowmill.web.frame.csrf_failure"
CSRF_COOKIE_SAMESITE = "Lax"

# ------------------------------------------------------------------------------------------------ safety
ROWMILL_HTTPS: bool = env("ROWMILL_HTTPS")
SESSION_COOKIE_SECURE = ROWMILL_HTTPS
CSRF_COOKIE_SECURE = ROWMILL_HTTPS
SECURE_SSL_REDIRECT = False
SECURE_HSTS_SECONDS = 31_536_000 if ROWMILL_HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if ROWMILL_HTTPS else None
CSRF_TRUSTED_ORIGINS = [ROWMILL_BASE_URL]
# Not "no-referrer": with it browsers send `Origin: null` with every form, which the CSRF check refuses.
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# With direct uploads the page itself sends parts to the bucket.
_BUCKET = find_origins(read_place(ROWMILL_STORAGE_URL)) if ROWMILL_DIRECT_UPLOADS else []
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "connect-src": ["'self'", *_BUCKET],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
    },
    "EXCLUDE_URL_PREFIXES": ["/admin/"],
}


# ------------------------------------------------------------------------------------------------ API
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework_simplejwt.authentication.JWTAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rowmill.api.permissions.MemberOfOrg"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "EXCEPTION_HANDLER": "rowmill.api.problems.handle_exception",
    "DEFAULT_PAGINATION_CLASS": "rowmill.api.paging.Pages",
    "PAGE_SIZE": 25,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Rowmill",
    "DESCRIPTION": "Bulk intake of tables that accounts for every row.",
    "VERSION": "1",
    "SERVE_PERMISSIONS": ["rowmill.api.permissions.MemberOfOrg"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "BackgroundState": "rowmill.models.EffectState",  # of an undo, too
        "JobStatus": "rowmill.models.JobState",
        "PrecheckStatus": "rowmill.models.PrecheckStatus",
        "UploadStatus": "rowmill.models.UploadState",
    },
}
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=env("ROWMILL_ACCESS_TOKEN_MINUTES")),
    "REFRESH_TOKEN_LIFETIME": timedelta(hours=env("ROWMILL_REFRESH_TOKEN_HOURS")),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "ISSUER": "rowmill",
    "AUDIENCE": "rowmill-api",
    "CHECK_REVOKE_TOKEN": True,
    "CHECK_USER_IS_ACTIVE": True,
}

# ------------------------------------------------------------------------------------------------ e-mail
_MAIL = urlsplit(env("ROWMILL_EMAIL_URL"))
EMAIL_BACKEND = (
    "django.core.mail.backends.smtp.EmailBackend"
    if _MAIL.scheme
    else "django.core.mail.backends.filebased.EmailBackend"
)
EMAIL_FILE_PATH = str(DATA_DIR / "mail")
EMAIL_HOST = _MAIL.hostname or "localhost"
EMAIL_PORT = _MAIL.port or (465 if _MAIL.scheme == "smtps" else 25)
EMAIL_HOST_USER = unquote(_MAIL.username or "")
EMAIL_HOST_PASSWORD = unquote(_MAIL.password or "")
EMAIL_USE_SSL = _MAIL.scheme == "smtps"
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL: str = env("ROWMILL_EMAIL_FROM")

LOGGING_CONFIG = "rowmill.monitor.logs.configure"
LOGGING: dict[str, Any] = {"level": env("ROWMILL_LOG_LEVEL")}
