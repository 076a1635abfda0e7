"""Bringing the lab up, back to health, and down."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable

from . import firewall, host, patroni, services
from .layout import DATA, ETCD, HAPROXY, NODES, SERVICES, LabError, Service
from .state import Shape, current_shape, lock, note_shape
from .status import LabStatus, lab_status, leads
from .waiting import Deadline, say, wait_for


def up(shape: Shape) -> None:
    services.refuse_missing_programs(shape.haproxy)
    with lock():
        present = current_shape()
        if present is None:
            remove_everything()
            host.refuse_taken_ports([service for service in SERVICES if service != HAPROXY or shape.haproxy])
        started = time.monotonic()
        try:
            if present is None:
                build(shape)
                say(f"up after {time.monotonic() - started:.1f} s")
            elif present == shape and in_shape(lab_status(), shape):
                say("already up")
            else:
                say("up, but not as it should be: restoring it")
                restore(present, shape)
                say(f"up again after {time.monotonic() - started:.1f} s")
        except BaseException as error:  # Ctrl-C too
            clean_up_after(error)
            raise


def down() -> None:
    with lock():
        remove_everything()
    say("down: nothing is left")


def build(shape: Shape) -> None:
    """A new lab where there is none."""
    say("users and folders")
    DATA.mkdir(mode=0o711)
    DATA.chmod(0o711)  # whatever the umask is: the nodes' users have to get through
    for service in SERVICES:
        host.make_user(service)
        host.make_folder(service)
    for node in NODES:
        services.write_node(node, shape.sync)

    start_etcd()
    first, *others = NODES
    say(f"{first.name} makes the cluster")
    make_cluster(first)
    say(f"{' and '.join(node.name for node in others)} copy it")
    for node in others:
        services.start_node(node)
    wait_until_in_shape(shape)
    wait_for("the replicas to catch up", 30, lambda: lab_status().caught_up)


def make_cluster(node: Service) -> None:
    """Starts the first node and waits until it leads. Patroni ends when it can't make a cluster; as a service manager
    would, this starts it again, twice."""
    services.start_node(node)
    starts = 1
    deadline = Deadline(60)
    while not leads(node):
        if deadline.passed:
            raise LabError(f"{node.name} to lead: not within {deadline.seconds:.0f} s")
        if not services.node_is_running(node):
            time.sleep(1)  # it may be on its way from fork to exec
            if not services.node_is_running(node):
                if starts == 3:
                    raise LabError(f"{node.name} could not make the cluster")
                say(f"{node.name} has ended: starting it again")
                services.start_node(node)
                starts += 1
        time.sleep(0.1)


def restore(present: Shape, shape: Shape) -> None:
    """Brings a lab that is up to the shape that is wanted, whatever was done to it."""
    for node in NODES:
        firewall.heal(node)
    for service in SERVICES:
        host.thaw(service)
    if not host.processes(ETCD):
        start_etcd()
    for node in NODES:
        if not services.node_is_running(node):
            say(f"starting {node.name}")
            services.start_node(node)
    if not shape.haproxy:
        host.kill(HAPROXY)
    if present.sync != shape.sync:
        set_synchronous(shape.sync)
    wait_until_in_shape(shape)


def wait_until_in_shape(shape: Shape) -> None:
    """Waits for the leader and its replicas, puts HAProxy before them if wanted, and notes the shape."""
    wait_for_cluster(lambda status: cluster_in_shape(status, shape))
    if shape.haproxy:
        if not host.processes(HAPROXY):
            say("haproxy")
            services.start_haproxy()
        wait_for("haproxy to find the leader and the replicas", 30, services.haproxy_knows_the_cluster)
    note_shape(shape)


def wait_for_cluster(condition: Callable[[LabStatus], bool]) -> None:
    """Waits until the cluster is as wanted, and tells each step on the way."""
    said = ""

    def told_and_met() -> bool:
        nonlocal said
        now = lab_status()
        if (text := ", ".join(map(str, now.nodes))) != said:
            say(said := text)
        return condition(now)

    wait_for("a leader and two replicas that stream", 120, told_and_met)


def cluster_in_shape(status: LabStatus, shape: Shape) -> bool:
    disturbed = any(node.frozen or node.partitioned for node in status.nodes)
    return status.etcd and status.healthy and not disturbed and status.has_sync_standby == shape.sync


def in_shape(status: LabStatus, shape: Shape) -> bool:
    return cluster_in_shape(status, shape) and status.haproxy == shape.haproxy


def start_etcd() -> None:
    say("etcd")
    services.start_etcd()
    wait_for("etcd", 20, services.etcd_is_healthy)


def set_synchronous(synchronous: bool) -> None:
    def changed() -> bool:
        answers = [
            patroni.ask(node.address, "/config", method="PATCH", body={"synchronous_mode": synchronous})
            for node in NODES
        ]
        return any(answer is not None and answer.status == 200 for answer in answers)

    wait_for("a node that takes the change of synchronous_mode", 60, changed)


def clean_up_after(error: BaseException) -> None:
    """Takes down the lab that could not be brought up."""
    for number in host.INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C would leave half of it
    if isinstance(error, Exception):
        print(services.log_tails(20), file=sys.stderr)
    say("not up: taking it down again")
    remove_everything()


def remove_everything() -> None:
    """Removes all that a lab, or half of one, has left; the users last, for they tell what is the lab's."""
    for service in SERVICES:
        host.uid_of(service)  # refuses a namesake before anything is touched
    for service in SERVICES:
        host.kill(service)
    firewall.remove_all_rules()
    for service in SERVICES:
        host.remove_shared_memory(service)
    host.remove_data()
    host.wait_until_buried(SERVICES)
    for service in SERVICES:
        host.remove_user(service)
