"""Who lives where: the lab's names, addresses, ports, users, folders and passwords."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DATA = Path("/var/tmp/hadsn-lab-data")
PATRONI = Path("/var/tmp/hadsn-patroni-4.1.5/bin/patroni")
POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
SCOPE = "hadsn"
DR_SCOPE = "hadsn-dr"
ZONE = "lab.hadsn.test"

SUPERUSER = ("postgres", "postgres")
REPLICATION = ("replicator", "replicator")
APP = ("app", "app")  # owns the database `app`


@dataclass(frozen=True)
class Service:
    """Something that listens on an address of its own and runs under a Unix user of its own."""

    name: str
    address: str
    user: str
    ports: tuple[int, ...]
    udp: bool = False  # the ports are UDP ports, too

    @property
    def folder(self) -> Path:
        return DATA / self.name

    @property
    def logs(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"))


NODES = tuple(
    Service(f"pg{number}", f"127.0.0.1{number}", f"hadsn-lab-{number}", (5432, 8008))
    for number in (1, 2, 3)
)
ETCD = Service("etcd", "127.0.0.10", "hadsn-lab-etcd", (2379, 2380))
HAPROXY = Service("haproxy", "127.0.0.10", "hadsn-lab-haproxy", (5000, 5001, 7000))
DNS = Service("dns", "127.0.0.10", "hadsn-lab-dns", (5353,), udp=True)
# The one node of the standby cluster.
DR = Service("dr1", "127.0.0.14", "hadsn-lab-4", (5432, 8008))
SERVICES = (ETCD, *NODES, HAPROXY, DNS, DR)


class LabError(Exception):
    """Something went wrong that the person at the terminal can act on; its text is a sentence for them."""


def node_named(name: str) -> Service:
    for node in (*NODES, DR):
        if node.name == name:
            return node
    raise LabError(f"no node `{name}`: the nodes are pg1, pg2, pg3 and dr1")
