"""Starting the lab's services: etcd, the nodes, HAProxy."""

from __future__ import annotations

import csv
import os
import pwd
import shutil
from pathlib import Path

from . import host, patroni
from .layout import ETCD, HAPROXY, NODES, PATRONI, POSTGRES_BIN, LabError, Service

ETCD_CLIENT = f"http://{ETCD.address}:2379"
ETCD_PEER = f"http://{ETCD.address}:2380"
STATS_PORT = 7000


def refuse_missing_programs(haproxy: bool) -> None:
    """An error if something is not installed."""
    needed = {
        "etcd": shutil.which("etcd"),
        "PostgreSQL 15": (POSTGRES_BIN / "postgres").exists(),
        f"Patroni ({PATRONI})": PATRONI.exists(),
        "iptables": shutil.which("iptables"),
        "useradd": shutil.which("useradd"),
        "HAProxy": not haproxy or shutil.which("haproxy"),
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


def write_node(node: Service, synchronous: bool) -> None:
    """Writes the files that a node starts from."""
    write(node, "patroni.yml", patroni.configuration(node, synchronous))
    write(node, "app.sql", patroni.bootstrap_sql())


def start_haproxy() -> None:
    host.refuse_taken_ports([HAPROXY])
    write(HAPROXY, "haproxy.cfg", haproxy_configuration())
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


def haproxy_configuration() -> str:
    """The configuration that Patroni documents and ships."""
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
{haproxy_proxy("primary", 5000, "/primary")}{haproxy_proxy("replicas", 5001, "/replica")}"""


def haproxy_proxy(name: str, port: int, check: str) -> str:
    servers = "".join(
        f"    server {node.name} {node.address}:5432 maxconn 100 check port {patroni.API_PORT}\n" for node in NODES
    )
    return f"""
listen {name}
    bind {HAPROXY.address}:{port}
    option httpchk OPTIONS {check}
    http-check expect status 200
    default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
{servers}"""


def write(service: Service, name: str, text: str) -> None:
    """Writes a file that only the service's user reads: it may hold passwords."""
    path = service.folder / name
    path.write_text("")
    path.chmod(0o600)
    path.write_text(text)
    owner = pwd.getpwnam(service.user)
    os.chown(path, owner.pw_uid, owner.pw_gid)


def log_tails(lines: int) -> str:
    """The last lines of each log, for a person who has to find out what went wrong."""
    return "\n".join(log_tail(path, lines) for service in (ETCD, *NODES, HAPROXY) for path in service.logs)


def log_tail(path: Path, lines: int) -> str:
    text = path.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join([f"--- {path}", *text])
