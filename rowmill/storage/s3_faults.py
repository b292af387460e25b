"""What an S3-compatible store's errors mean: gone, full, or a fault in words. No key, no address, no secret in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.exceptions import HTTPError

from rowmill.errors import ObjectChanged, OutOfSpace, StorageFault

_GONE = {"NoSuchKey", "404", "NotFound", "NoSuchUpload"}
_FULL = {"InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "507", "EntityTooLarge"}
_WORDS = {
    "NoSuchBucket": "The storage has no such bucket. Make it, or correct ROWMILL_STORAGE_URL.",
    "AccessDenied": "The storage does not allow this. Give these credentials the right to read, write, list and delete.",
    "403": "The storage does not allow this. Give these credentials the right to read, write, list and delete.",
    "InvalidAccessKeyId": "The storage does not know these credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "SignatureDoesNotMatch": "The storage refuses the signature. Check AWS_SECRET_ACCESS_KEY, and region= where it is set.",
    "RequestTimeTooSkewed": "This machine's clock is too far from the storage's. Set it by NTP.",
    "PermanentRedirect": "The bucket lies in another region. Set region= in ROWMILL_STORAGE_URL.",
    "AuthorizationHeaderMalformed": "The bucket lies in another region. Set region= in ROWMILL_STORAGE_URL.",
    "ExpiredToken": "The storage's credentials have expired.",
    "SlowDown": "The storage asks to be asked less often.",
}


@contextmanager
def told_in_words(key: str = "") -> Iterator[None]:
    """Turn the client's errors into the house's. Raises: FileNotFoundError, OutOfSpace, ObjectChanged, StorageFault."""
    try:
        yield
    except ClientError as error:
        raise _of_answer(error, key) from None
    except NoCredentialsError:
        raise StorageFault(
            "There are no credentials for the storage. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        ) from None
    except SSLError:
        raise StorageFault("The storage's certificate is not trusted. Add its authority by AWS_CA_BUNDLE.") from None
    except (ConnectTimeoutError, EndpointConnectionError):
        raise StorageFault("The storage cannot be reached.") from None
    except ReadTimeoutError:
        raise StorageFault("The storage does not answer in time.") from None
    except (
        BotoCoreError,
        HTTPClientError,
        HTTPError,
        ConnectionError,
        KeyError,
    ) as error:  # KeyError: a header is cut off
        raise StorageFault(f"The storage does not answer as it should ({type(error).__name__}).") from None


def _of_answer(error: ClientError, key: str) -> Exception:
    """Choose what an answer means."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _GONE:
        return FileNotFoundError(key)
    if code in _FULL or status == 507:
        return OutOfSpace("The storage is full; nothing was stored.")
    if code in {"PreconditionFailed", "412"}:
        return ObjectChanged()
    return StorageFault(_WORDS.get(code) or f"The storage does not answer as it should (status {status}).")
