"""The DNS server: knot, with a zone whose leader record Patroni's callback keeps."""

from __future__ import annotations

import base64
import secrets
import subprocess
from pathlib import Path

from . import certificates, host, patroni
from .layout import DNS, DR, NODES, SCOPE, ZONE, LabError, Service
from .state import Shape
from .waiting import wait_for

PORT = 5353
LEADER = f"_postgresql._tcp.leader.{ZONE}"
KEY_NAME = "hadsn-lab"
CALLBACK = Path(__file__).resolve().parents[3] / "docs" / "examples" / "patroni-srv-callback"


def write_files() -> None:
    """Writes what the server starts from: a new zone without a leader, and a new key."""
    secret = base64.b64encode(secrets.token_bytes(32)).decode()
    host.write(DNS, "tsig.key", f'key "{KEY_NAME}" {{\n    algorithm hmac-sha256;\n    secret "{secret}";\n}};\n')
    host.write(DNS, "knot.conf", configuration(secret))
    host.write(DNS, f"{ZONE}.zone", zone())


def has_files() -> bool:
    return (DNS.folder / f"{ZONE}.zone").exists()


def write_callback(node: Service, shape: Shape) -> None:
    """Writes what a node's callback needs: the script that users get, its settings and the key."""
    host.write(node, "patroni-srv-callback", CALLBACK.read_text(), mode=0o700)
    host.write(node, "srv-callback.conf", callback_settings(node, shape))
    host.write(node, "tsig.key", (DNS.folder / "tsig.key").read_text())


def start() -> None:
    host.refuse_taken_ports([DNS])
    # The number of a killed server's process may be somebody else's by now.
    (DNS.folder / "knot.pid").unlink(missing_ok=True)
    host.launch(DNS, ["knotd", "-c", str(DNS.folder / "knot.conf")], "knot.log")
    wait_for("the DNS server", 20, answers)


def answers() -> bool:
    return look_up(ZONE, "SOA") not in (None, [])


def leader() -> str | None:
    """The node that the leader record names; None without a record or a server."""
    records = [record.split() for record in look_up(LEADER, "SRV") or []]
    return records[0][3].partition(".")[0] if len(records) == 1 and len(records[0]) == 4 else None


def look_up(name: str, kind: str) -> list[str] | None:
    """The data of a name's records; None if the server does not answer."""
    command = ["dig", f"@{DNS.address}", "-p", str(PORT), "+short", "+time=1", "+tries=1", "+norecurse", name, kind]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return result.stdout.splitlines() if result.returncode == 0 else None


def publish(node: Service, shape: Shape) -> None:
    """Writes the leader record as the leader's user would by hand, where no promotion has done it."""
    write_callback(node, shape)
    command = patroni.callbacks(node)["on_start"].split()
    host.launch(node, [*command, "on_start", "primary", SCOPE], "postgresql.log")
    wait_for(f"{node.name}'s SRV record", 40, lambda: leader() == node.name)


def require(shape: Shape) -> None:
    if not shape.dns:
        raise LabError("this lab has no DNS server: run `tests/lab/lab up --dns`")


def configuration(secret: str) -> str:
    return f"""\
server:
    rundir: "{DNS.folder}"
    listen: {DNS.address}@{PORT}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1

log:
  - target: stderr
    any: info

database:
    storage: "{DNS.folder}"

key:
  - id: {KEY_NAME}
    algorithm: hmac-sha256
    secret: {secret}

acl:
  - id: leader
    key: {KEY_NAME}
    action: update
    update-owner: name
    update-owner-match: equal
    update-owner-name: {LEADER}.
    update-type: SRV

zone:
  - domain: {ZONE}
    storage: "{DNS.folder}"
    file: "{ZONE}.zone"
    acl: leader
    zonefile-sync: -1
"""


def zone() -> str:
    """The zone without the leader record. The standby cluster's names are there whether it is up or not."""
    addresses = "".join(f"{node.name} A {node.address}\n" for node in (*NODES, DR))
    api = "".join(f"_patroni._tcp SRV 0 0 {patroni.API_PORT} {node.name}\n" for node in NODES)
    database = "".join(f"_postgresql._tcp SRV 0 0 5432 {node.name}\n" for node in NODES)
    return f"""\
$ORIGIN {ZONE}.
$TTL 2
@ SOA ns hostmaster 1 3600 600 86400 1
@ NS ns
ns A {DNS.address}
{addresses}{api}{database}\
_patroni._tcp.dr SRV 0 0 {patroni.API_PORT} {DR.name}
_postgresql._tcp.dr SRV 0 0 5432 {DR.name}
"""


def callback_settings(node: Service, shape: Shape) -> str:
    scheme = "http" if shape.tls == "off" else "https"
    settings = {
        "SRV_SERVER": DNS.address,
        "SRV_PORT": PORT,
        "SRV_ZONE": ZONE,
        "SRV_NAME": LEADER,
        "SRV_TARGET": f"{node.name}.{ZONE}",
        "SRV_TTL": 2,
        "SRV_KEY_FILE": node.folder / "tsig.key",
        "SRV_CHECK_URL": f"{scheme}://{node.address}:{patroni.API_PORT}/primary",
    }
    if shape.tls != "off":
        settings |= {
            "SRV_CHECK_CA": certificates.CA,
            "SRV_CHECK_CERT": node.folder / "server.pem",
            "SRV_CHECK_KEY": node.folder / "server.key",
        }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())
