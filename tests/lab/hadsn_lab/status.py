"""What the lab is doing: each node asked directly, and the cluster as its members see it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from . import dns, firewall, host, patroni, services
from .layout import DNS, DR, HAPROXY, NODES, Service
from .state import Shape, current_shape


@dataclass(frozen=True)
class NodeStatus:
    """A node's own answer; `role`, `state` and `timeline` are None while it gives none.

    `role` is `leader` for the node that holds the lock and runs as a primary by its own word; otherwise Patroni's
    (`sync_standby`, `replica`, …). `lag` is in bytes, as the cluster's members report it.
    """

    name: str
    address: str
    role: str | None
    state: str | None
    timeline: int | None
    running: bool
    frozen: bool
    partitioned: bool
    lag: int | None

    @property
    def streams(self) -> bool:
        return self.state == "streaming"

    def __str__(self) -> str:
        hindrance = "partitioned" if self.partitioned else "frozen" if self.frozen else "no answer"
        if not self.running:
            return f"{self.name} down"
        if self.role is None:
            return f"{self.name} {hindrance}"
        return f"{self.name} {self.role} {self.state}"


@dataclass(frozen=True)
class LabStatus:
    etcd: bool
    haproxy: bool
    nodes: tuple[NodeStatus, ...]
    views: tuple[dict[str, dict], ...]  # the cluster as each node sees it: members by name, empty without an answer
    tls: str  # `off`, `server` or `mutual`
    dns: bool
    dns_leader: str | None  # the node that the leader's SRV record names
    dr: NodeStatus | None

    @property
    def leader(self) -> str | None:
        return next((node.name for node in self.nodes if node.role == "leader"), None)

    @property
    def healthy(self) -> bool:
        """A leader and two replicas that stream from it, by their own word and in the eyes of each of them."""
        if self.leader is None:
            return False
        wanted = {node.name: "running" if node.name == self.leader else "streaming" for node in self.nodes}
        return (
            wanted == {node.name: node.state for node in self.nodes}
            and len({node.timeline for node in self.nodes}) == 1
            and all(wanted == {name: member.get("state") for name, member in view.items()} for view in self.views)
        )

    @property
    def caught_up(self) -> bool:
        """Whether no replica is known to be far behind; what the members know is up to two seconds old."""
        lags = [node.lag for node in self.nodes if node.name != self.leader]
        return all(lag is not None and lag < 1 << 20 for lag in lags)

    def follows_or_leads(self, name: str) -> bool:
        """Whether a node is the leader or streams from the leader's timeline."""
        timelines = {node.name: node.timeline for node in self.nodes if node.streams or node.role == "leader"}
        return self.leader is not None and timelines.get(name) == timelines[self.leader]

    @property
    def has_sync_standby(self) -> bool:
        return any(node.role == "sync_standby" for node in self.nodes)

    @property
    def dr_follows(self) -> bool:
        """Whether the standby cluster streams from the leader's timeline."""
        if self.dr is None or self.dr.role != "standby_leader" or not self.dr.streams:
            return False
        return any(node.role == "leader" and node.timeline == self.dr.timeline for node in self.nodes)

    def as_json(self) -> dict:
        return {
            "etcd": self.etcd,
            "haproxy": self.haproxy,
            "leader": self.leader,
            "nodes": [asdict(node) for node in self.nodes],
            "tls": self.tls,
            "dns": self.dns,
            "dns_leader": self.dns_leader,
            "dr": None if self.dr is None else asdict(self.dr),
        }

    def __str__(self) -> str:
        rows = [["node", "address", "role", "state", "timeline", "lag", ""]]
        for node in (*self.nodes, *([] if self.dr is None else [self.dr])):
            notes = [] if node.running else ["down"]
            notes += ["frozen"] * node.frozen + ["partitioned"] * node.partitioned
            if node.running and node.role is None and not notes:
                notes = ["no answer"]
            cells = (node.name, node.address, node.role, node.state, node.timeline, node.lag)
            rows.append([*("-" if cell is None else str(cell) for cell in cells), " ".join(notes)])
        widths = [max(map(len, column)) for column in zip(*rows)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        names = [("etcd", self.etcd), ("haproxy", self.haproxy), ("dns", self.dns)]
        words = [f"{name} {'up' if alive else 'down'}" for name, alive in names]
        words += [f"tls {self.tls}", f"leader {self.leader or 'none'}"]
        words += [f"{self.dns_leader or 'none'} in dns"] * self.dns
        return "\n".join([*table, ", ".join(words)])


def lab_status() -> LabStatus:
    # All at once: a frozen node, or one that is cut off, only answers by its time-out.
    has_dns, has_dr = bool(host.processes(DNS)), host.uid_of(DR) is not None
    with ThreadPoolExecutor(max_workers=4 + 2 * len(NODES)) as pool:
        etcd = pool.submit(services.etcd_is_healthy)
        dns_answers, dns_leader = (pool.submit(ask) if has_dns else None for ask in (dns.answers, dns.leader))
        dr_answer = pool.submit(own_answer, DR) if has_dr else None
        answers, members = pool.map(own_answer, NODES), pool.map(cluster_members, NODES)
    views = tuple(members)
    # Of what the members say about each other, the most complete counts.
    known = max(views, key=len)
    nodes = tuple(node_status(node, answer, known.get(node.name, {})) for node, answer in zip(NODES, answers))
    return LabStatus(
        etcd=etcd.result(),
        haproxy=bool(host.processes(HAPROXY)),
        nodes=nodes,
        views=views,
        tls=(current_shape() or Shape()).tls,
        dns=dns_answers is not None and dns_answers.result(),
        dns_leader=None if dns_leader is None else dns_leader.result(),
        dr=None if dr_answer is None else node_status(DR, dr_answer.result(), {}),
    )


def current_leader() -> Service | None:
    """The node that leads by its own word."""
    with ThreadPoolExecutor(max_workers=len(NODES)) as pool:
        return next((node for node, leading in zip(NODES, pool.map(leads, NODES)) if leading), None)


def leads(node: Service) -> bool:
    """Whether the node holds the leader lock and SQL on it says that it is not in recovery."""
    answer = own_answer(node)
    return answer is not None and is_leader(answer)


def own_answer(node: Service) -> patroni.Answer | None:
    """The node's status, under HTTP 200 if it holds the leader lock and 503 if not."""
    return patroni.ask(node.address, "/primary")


def is_leader(answer: patroni.Answer) -> bool:
    # The lock alone does not make a primary: the node may still be promoting. `role` comes from pg_is_in_recovery().
    body = answer.json() or {}
    return answer.status == 200 and body.get("role") == "primary" and body.get("state") == "running"


def cluster_members(node: Service) -> dict[str, dict]:
    """The cluster's members by name, as this node sees them; empty if it does not answer."""
    answer = patroni.ask(node.address, "/cluster")
    body = {} if answer is None else answer.json() or {}
    return {member["name"]: member for member in body.get("members", [])}


def node_status(node: Service, answer: patroni.Answer | None, member: dict) -> NodeStatus:
    processes = host.processes(node)
    body = {} if answer is None else answer.json() or {}
    lag = member.get("lag")
    return NodeStatus(
        name=node.name,
        address=node.address,
        role=role(answer, body, member),
        state=body.get("replication_state") or body.get("state"),
        timeline=body.get("timeline"),
        running=services.node_is_running(node),
        frozen=bool(processes) and all(process.stopped for process in processes),
        partitioned=firewall.is_partitioned(node),
        lag=lag if isinstance(lag, int) else None,
    )


def role(answer: patroni.Answer | None, body: dict, member: dict) -> str | None:
    """The node's role by its own word; what the cluster says only tells sorts of replicas apart."""
    own = body.get("role")
    if answer is not None and is_leader(answer):
        return "leader"
    if own == "replica" and member.get("role") in ("sync_standby", "quorum_standby"):
        return member["role"]
    return own
