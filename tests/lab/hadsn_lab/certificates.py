"""The lab's certificates, made on the spot: good ones for the nodes and a client, and bad ones for tests."""

from __future__ import annotations

import datetime
import functools
import ssl
import tempfile
from pathlib import Path

from . import host
from .layout import DATA, DR, NODES, ZONE, Service

FOLDER = DATA / "tls"
CA = FOLDER / "ca.pem"
ALL_NAMES = ["localhost", "127.0.0.1"] + [
    name for node in (*NODES, DR) for name in (node.name, f"{node.name}.{ZONE}", node.address)
]

NODE_VALID = (-1, 30)  # days from now
EXPIRED = (-3, -2)


def make() -> None:
    """Makes the authorities and all certificates."""
    FOLDER.mkdir(mode=0o755)
    FOLDER.chmod(0o755)
    with tempfile.TemporaryDirectory(dir=FOLDER) as scratch:
        for name in ("ca", "other-ca"):
            make_authority(name, Path(scratch))
        for node in (*NODES, DR):
            names = [node.name, f"{node.name}.{ZONE}", node.address]
            issue(node.name, "ca", names, Path(scratch))
        issue("client", "ca", [], Path(scratch), common_name="app")
        issue("other-client", "other-ca", [], Path(scratch), common_name="app")
        issue("expired", "ca", ALL_NAMES, Path(scratch), valid=EXPIRED)
        issue("wrong-name", "ca", [f"elsewhere.{ZONE}"], Path(scratch))
        issue("foreign", "other-ca", ALL_NAMES, Path(scratch))


def of_node(node: Service) -> tuple[str, str]:
    """The node's certificate and its key."""
    return pair(node.name)


def of_client() -> tuple[str, str]:
    return pair("client")


def pair(name: str) -> tuple[str, str]:
    return (FOLDER / f"{name}.pem").read_text(), (FOLDER / f"{name}.key").read_text()


def client_context() -> ssl.SSLContext | None:
    """How the lab's own commands ask a REST API with TLS; None without TLS."""
    try:
        made = CA.stat().st_mtime_ns
    except OSError:
        return None
    return context_of(made)


@functools.lru_cache(maxsize=1)
def context_of(made: int) -> ssl.SSLContext:
    """The context for the authority that was made at a time: another one may follow within one command."""
    context = ssl.create_default_context(cafile=str(CA))
    context.load_cert_chain(FOLDER / "client.pem", FOLDER / "client.key")
    return context


def make_authority(name: str, scratch: Path) -> None:
    (scratch / f"{name}.index").write_text("")
    configuration = write_configuration(name, name, [], scratch)
    host.run(
        "openssl", "req", "-config", configuration, "-x509", "-extensions", "authority", "-days", "30",
        *new_key(FOLDER / f"{name}.key"), "-subj", f"/CN=hadsn test lab {name}", "-out", str(FOLDER / f"{name}.pem"),
    )
    (FOLDER / f"{name}.pem").chmod(0o644)  # the key is root's


def issue(
    name: str,
    authority: str,
    names: list[str],
    scratch: Path,
    *,
    valid: tuple[int, int] = NODE_VALID,
    common_name: str | None = None,
) -> None:
    """Makes NAME.pem and NAME.key, signed by an authority."""
    configuration = write_configuration(name, authority, names, scratch)
    request = str(scratch / f"{name}.csr")
    key, certificate = FOLDER / f"{name}.key", FOLDER / f"{name}.pem"
    host.run(
        "openssl", "req", "-config", configuration, "-new", *new_key(key), "-subj", f"/CN={common_name or name}",
        "-out", request,
    )
    start, end = map(days_from_now, valid)
    host.run(
        "openssl", "ca", "-batch", "-notext", "-config", configuration, "-extensions", "leaf",
        "-startdate", start, "-enddate", end, "-in", request, "-out", str(certificate),
    )
    # Tests of any user read them. They prove nothing outside of this machine.
    for path in (key, certificate):
        path.chmod(0o644)


def new_key(path: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(path)]


def days_from_now(days: int) -> str:
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return moment.strftime("%Y%m%d%H%M%SZ")


def write_configuration(name: str, authority: str, names: list[str], scratch: Path) -> str:
    """openssl's configuration for one certificate; a common name alone is not a name that clients look at."""
    kinds = [f"{'IP' if other.replace('.', '').isdigit() else 'DNS'}:{other}" for other in names]
    path = scratch / f"{name}.cnf"
    path.write_text(f"""\
[req]
distinguished_name = subject
[subject]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{"subjectAltName = " + ", ".join(kinds) if kinds else ""}
[ca]
default_ca = signer
[signer]
certificate = {FOLDER}/{authority}.pem
private_key = {FOLDER}/{authority}.key
database = {scratch}/{authority}.index
new_certs_dir = {scratch}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any_subject
[any_subject]
commonName = supplied
""")
    return str(path)
