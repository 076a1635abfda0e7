"""Starting the lab's services: etcd, the nodes, HAProxy; the DNS server has a file of its own."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from . import certificates, dns, host, patroni
from .layout import DR, ETCD, HAPROXY, NODES, PATRONI, POSTGRES_BIN, SERVICES, LabError, Service
from .state import Shape

ETCD_CLIENT = f"http://{ETCD.address}:2379"
ETCD_PEER = f"http://{ETCD.address}:2380"
STATS_PORT = 7000


def refuse_missing_programs(shape: Shape) -> None:
    """An error if something is not installed."""
    needed = {
        "etcd": shutil.which("etcd"),
        "PostgreSQL 15": (POSTGRES_BIN / "postgres").exists(),
        f"Patroni ({PATRONI})": PATRONI.exists(),
        "iptables": shutil.which("iptables"),
        "useradd": shutil.which("useradd"),
        "HAProxy": not shape.haproxy or shutil.which("haproxy"),
        "openssl": shape.tls == "off" or shutil.which("openssl"),
        "knot": not shape.dns or shutil.which("knotd"),
        "nsupdate": not shape.dns or shutil.which("nsupdate"),
    }
    for thing, present in needed.items():
        if not present:
            raise LabError(f"{thing} is missing: run tests/lab/install lab")


def start_etcd() -> None:
    host.refuse_taken_ports([ETCD])
    command = {
        "--name": "hadsn",
        "--data-dir": str(ETCD.folder / "data"),
        "--listen-client-urls": ETCD_CLIENT,
        "--advertise-client-urls": ETCD_CLIENT,
        "--listen-peer-urls": ETCD_PEER,
        "--initial-advertise-peer-urls": ETCD_PEER,
        "--initial-cluster": f"hadsn={ETCD_PEER}",
    }
    host.launch(ETCD, ["etcd", *(word for pair in command.items() for word in pair)], "etcd.log")


def etcd_is_healthy() -> bool:
    answer = patroni.ask(ETCD.address, "/health", port=2379)
    return answer is not None and (answer.json() or {}).get("health") == "true"


def start_node(node: Service) -> None:
    """Starts Patroni, which starts PostgreSQL."""
    if not host.processes(node):
        host.refuse_taken_ports([node])
    # What PostgreSQL prints goes where Patroni's output goes; Patroni's own log is patroni.log.
    host.launch(node, [str(PATRONI), str(node.folder / "patroni.yml")], "postgresql.log")


def node_is_running(node: Service) -> bool:
    """Whether the node's Patroni runs, frozen or not."""
    return any(str(PATRONI) in process.command for process in host.processes(node))


def reload_node(node: Service) -> bool:
    """Whether Patroni has taken notice of a new configuration file."""
    answer = patroni.ask(node.address, "/reload", method="POST")
    return answer is not None and answer.status in (200, 202)


def write_node(node: Service, shape: Shape) -> None:
    """Writes the files that a node starts from."""
    host.write(node, "patroni.yml", patroni.configuration(node, shape))
    host.write(node, "app.sql", patroni.bootstrap_sql())
    if shape.tls != "off":
        certificate, key = certificates.of_node(node)
        host.write(node, "server.pem", certificate)
        host.write(node, "server.key", key)
    if shape.dns and node != DR:
        dns.write_callback(node, shape)


def start_haproxy(shape: Shape) -> None:
    host.refuse_taken_ports([HAPROXY])
    host.write(HAPROXY, "haproxy.cfg", haproxy_configuration(shape))
    if shape.tls != "off":
        host.write(HAPROXY, "client.pem", "".join(certificates.of_client()))
    host.launch(HAPROXY, ["haproxy", "-db", "-f", str(HAPROXY.folder / "haproxy.cfg")], "haproxy.log")


def haproxy_knows_the_cluster() -> bool:
    """Whether HAProxy has found one writer and two replicas; it takes each server for up until its first check."""
    answer = patroni.ask(HAPROXY.address, "/;csv", port=STATS_PORT)
    if answer is None or answer.status != 200:
        return False
    servers = list(csv.DictReader(answer.text.lstrip("# ").splitlines()))
    up = [server["pxname"] for server in servers if server["check_status"] == "L7OK" and server["status"] == "UP"]
    unchecked = [server for server in servers if server["check_status"] == "INI"]
    return not unchecked and sorted(up) == ["primary", "replicas", "replicas"]


def haproxy_configuration(shape: Shape) -> str:
    """The configuration that Patroni documents and ships."""
    tls = shape.tls != "off"
    return f"""\
global
    maxconn 100

defaults
    log global
    mode tcp
    retries 2
    timeout client 30m
    timeout connect 4s
    timeout server 30m
    timeout check 5s

listen stats
    mode http
    bind {HAPROXY.address}:{STATS_PORT}
    stats enable
    stats uri /
{haproxy_proxy("primary", 5000, "/primary", tls)}{haproxy_proxy("replicas", 5001, "/replica", tls)}"""


def haproxy_proxy(name: str, port: int, check: str, tls: bool) -> str:
    # Only the checks speak TLS: PostgreSQL's own goes through to the client.
    options = f" check-ssl verify required ca-file {certificates.CA} crt {HAPROXY.folder}/client.pem" if tls else ""
    servers = "".join(
        f"    server {node.name} {node.address}:5432 maxconn 100 check port {patroni.API_PORT}{options}\n"
        for node in NODES
    )
    return f"""
listen {name}
    bind {HAPROXY.address}:{port}
    option httpchk OPTIONS {check}
    http-check expect status 200
    default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
{servers}"""


def log_tails(lines: int) -> str:
    """The last lines of each log, for a person who has to find out what went wrong."""
    return "\n".join(log_tail(path, lines) for service in SERVICES for path in service.logs)


def log_tail(path: Path, lines: int) -> str:
    text = path.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join([f"--- {path}", *text])
