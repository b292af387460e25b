"""A broker over TLS: it must show a certificate for its name that is trusted, else no ring is handed to it."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kombu.exceptions import OperationalError

from rowmill.celery import Publisher, make_app, with_checked_peer
from rowmill.doorbell import new_ring_id
from tests.crash.server import wait_for
from tests.servers.ports import free_port

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="redis-server is not installed (make system)"
)


def write_certificate(folder: Path, host: str) -> Path:
    """Write a certificate for a host that is its own authority, with its key beside it. Gives the certificate's path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=3))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{host}.crt"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.with_suffix(".key").write_bytes(pem)
    return path


def tls_redis(folder: Path, certificate: Path) -> Iterator[int]:
    """Run a Redis that speaks TLS only. Gives its port."""
    port = free_port()
    command = ["redis-server", "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--tls-cert-file", str(certificate), "--tls-key-file", str(certificate.with_suffix(".key"))]
    command += ["--tls-ca-cert-file", str(certificate), "--tls-auth-clients", "no", "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)

    def answers() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    try:
        wait_for(answers, 60, "redis-server does not answer")
        yield port
    finally:
        process.kill()
        process.wait(30)


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("localhost"), "localhost")


@pytest.fixture(scope="module")
def port(trusted: Path) -> Iterator[int]:
    yield from tls_redis(trusted.parent, trusted)


def ring_at(url: str) -> None:
    """Hand one ring to the broker."""
    Publisher(make_app(url))("bulk", new_ring_id())


def test_whom_the_given_authority_signed_is_rung(port: int, trusted: Path) -> None:
    ring_at(f"rediss://localhost:{port}/0?ssl_ca_certs={trusted}")


def test_an_unknown_authority_is_refused(port: int) -> None:
    with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        ring_at(f"rediss://localhost:{port}/0")


def test_a_certificate_for_another_name_is_refused(port: int, trusted: Path) -> None:
    with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        ring_at(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={trusted}")


def test_who_asks_for_no_check_gets_none(port: int) -> None:
    ring_at(f"rediss://localhost:{port}/0?ssl_cert_reqs=none")


def test_only_tls_is_asked_for_a_certificate() -> None:
    assert with_checked_peer("redis://localhost/0") == "redis://localhost/0"
    assert with_checked_peer("") == ""
    assert make_app("rediss://localhost/0").connection_for_write().ssl["ssl_cert_reqs"] == ssl.CERT_REQUIRED
