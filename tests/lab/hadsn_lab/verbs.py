"""The verbs that ask and disturb a lab that is up."""

from __future__ import annotations

import json
import time

from . import dns, dr, firewall, host, patroni, services
from .building import start_dns, start_etcd
from .layout import DNS, DR, ETCD, LabError, Service, node_named
from .state import Shape, lock_of_a_lab, require_up
from .status import LabStatus, current_leader, lab_status, leads
from .waiting import Deadline, say, wait_for


def status(as_json: bool) -> None:
    require_up()
    now = lab_status()
    print(json.dumps(now.as_json()) if as_json else now)


def switchover(to: str | None) -> None:
    """Hands the leadership over in good order, and returns when the new leader takes writes."""
    require_up()
    deadline = Deadline(60)
    old = leader()
    if to == old.name:
        raise LabError(f"{to} leads already")
    wait_for("a replica that streams", deadline.left, lambda: may_take_over(to))
    started = time.monotonic()
    request = {"leader": old.name, "candidate": to}
    # Without the lock: something may be done to a node in the middle of it.
    answer = patroni.ask(old.address, "/switchover", method="POST", body=request, timeout=deadline.left)
    if answer is not None and 400 <= answer.status < 500:
        raise LabError(f"{old.name} refused the switchover: {answer.text}")

    words = "nothing" if answer is None else answer.text
    new = wait_for(f"a new leader (Patroni said: {words})", deadline.left, lambda: new_leader(old, to))
    say(f"switchover: {old.name} -> {new.name} in {time.monotonic() - started:.1f} s")


def new_leader(old: Service, to: str | None) -> Service | None:
    node = current_leader()
    return node if node not in (None, old) and to in (None, node.name) else None


def may_take_over(to: str | None) -> bool:
    return any(node.streams and to in (None, node.name) for node in lab_status().nodes)


def promote_dr() -> None:
    """Makes the standby cluster one of its own, and returns when its node takes writes."""
    dr.require(require_up())
    started = time.monotonic()
    wait_for(f"{DR.name} to take its new configuration", 30, dr.stop_following)
    wait_for(f"{DR.name} to lead", 60, lambda: leads(DR))
    say(f"{DR.name} leads a cluster of its own after {time.monotonic() - started:.1f} s")


def kill(name: str) -> None:
    with lock_of_a_lab() as shape:
        node = node_or_leader(name, shape)
        host.kill(node)
    say(f"{node.name} killed")


def start(name: str, wait: bool) -> None:
    with lock_of_a_lab() as shape:
        services.refuse_missing_programs(Shape())
        node = node_of(shape, name)
        if services.node_is_running(node):
            say(f"{name} runs already")
        else:
            services.start_node(node)
            say(f"{name} started")
    if wait:
        wait_for(f"{name} to stream or lead", 90, lambda: is_back(node, lab_status()))
        say(f"{name} is back")


def is_back(node: Service, status: LabStatus) -> bool:
    if node == DR:
        return status.dr_follows or leads(DR)
    return status.follows_or_leads(node.name)


def freeze(name: str) -> None:
    with lock_of_a_lab() as shape:
        node = node_or_leader(name, shape)
        if not host.processes(node):
            raise LabError(f"{node.name} is down: run `tests/lab/lab start {node.name}` first")
        host.freeze(node)
    say(f"{node.name} frozen")


def thaw(name: str) -> None:
    with lock_of_a_lab() as shape:
        for node in nodes_named(name, shape):
            host.thaw(node)
    say(f"{name} thawed")


def partition(name: str) -> None:
    with lock_of_a_lab() as shape:
        node = node_or_leader(name, shape)
        firewall.partition(node)
    say(f"{node.name} partitioned")


def heal(name: str) -> None:
    with lock_of_a_lab() as shape:
        for node in nodes_named(name, shape):
            firewall.heal(node)
    say(f"{name} healed")


def etcd_stop() -> None:
    with lock_of_a_lab():
        host.kill(ETCD)
    say("etcd stopped")


def etcd_start() -> None:
    with lock_of_a_lab():
        if not host.processes(ETCD):
            start_etcd()
    say("etcd runs")


def dns_stop() -> None:
    with lock_of_a_lab() as shape:
        dns.require(shape)
        host.kill(DNS)
    say("dns stopped")


def dns_start() -> None:
    with lock_of_a_lab() as shape:
        dns.require(shape)
        if not host.processes(DNS):
            start_dns()
    say("dns runs")


def nodes_named(name: str, shape: Shape) -> tuple[Service, ...]:
    return shape.nodes if name == "all" else (node_of(shape, name),)


def node_or_leader(name: str, shape: Shape) -> Service:
    return leader() if name == "leader" else node_of(shape, name)


def node_of(shape: Shape, name: str) -> Service:
    node = node_named(name)
    if node == DR:
        dr.require(shape)
    return node


def leader() -> Service:
    node = current_leader()
    if node is None:
        raise LabError("no node leads now: `tests/lab/lab status` shows what they do")
    return node
