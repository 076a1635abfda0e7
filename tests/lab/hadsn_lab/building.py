"""Bringing the lab up, back to health, and down."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable

from . import certificates, dns, dr, firewall, host, patroni, services
from .layout import DATA, DNS, DR, ETCD, HAPROXY, NODES, SERVICES, LabError, Service, node_named
from .state import Shape, current_shape, lock, note_shape
from .status import LabStatus, lab_status, leads
from .waiting import Deadline, say, wait_for


def up(shape: Shape) -> None:
    services.refuse_missing_programs(shape)
    with lock():
        present = current_shape()
        if present is not None and present.tls != shape.tls:
            say("up with other certificates: making it anew")
            present = None
        if present is None:
            remove_everything()
            host.refuse_taken_ports(list(shape.services))
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
    add_services(shape)
    if shape.tls != "off":
        say("certificates")
        certificates.make()
    if shape.dns:
        start_dns()
    for node in shape.nodes:
        services.write_node(node, shape)

    start_etcd()
    first, *others = NODES
    say(f"{first.name} makes the cluster")
    make_cluster(first)
    say(f"{' and '.join(node.name for node in others)} copy it")
    for node in others:
        services.start_node(node)
    if shape.dr:
        say(f"{DR.name} copies it as a standby cluster")
        services.start_node(DR)
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
    for node in present.nodes:
        firewall.heal(node)
    for service in present.services:
        host.thaw(service)
    if not host.processes(ETCD):
        start_etcd()
    running = [node for node in NODES if services.node_is_running(node)]
    for service in present.services:
        if service not in shape.services:
            say(f"removing {service.name}")
            remove_service(service)
    if present.dr and not shape.dr:
        dr.forget()
    add_services(shape)
    if shape.dns and not host.processes(DNS):
        start_dns()
    for node in NODES:
        services.write_node(node, shape)
        if node not in running:
            say(f"starting {node.name}")
            services.start_node(node)
        elif present.dns != shape.dns:
            wait_for(f"{node.name} to take its callbacks", 30, lambda: services.reload_node(node))
    if present.sync != shape.sync:
        change("synchronous_mode", shape.sync)
    if present.dr != shape.dr:
        change("slots", dr.slots(shape))
    wait_until_in_shape(shape)


def wait_until_in_shape(shape: Shape) -> None:
    """Waits for the leader and its replicas, then for what is wanted around them, and notes the shape."""
    wait_for_cluster(lambda status: cluster_in_shape(status, shape))
    if shape.dns:
        settle_leader_record(shape)
    if shape.dr:
        settle_dr(shape)
    if shape.haproxy:
        if not host.processes(HAPROXY):
            say("haproxy")
            services.start_haproxy(shape)
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
    return (
        cluster_in_shape(status, shape)
        and status.haproxy == shape.haproxy
        and (not shape.dns or status.dns_leader == status.leader)
        and (not shape.dr or status.dr_follows)
    )


def settle_leader_record(shape: Shape) -> None:
    """Waits for the leader's own callback to write its record; where there was no promotion, it is written for it."""
    deadline = Deadline(5)
    while (status := lab_status()).dns_leader != status.leader or status.leader is None:
        if deadline.passed and status.leader is not None:
            dns.publish(node_named(status.leader), shape)
        time.sleep(0.1)


def settle_dr(shape: Shape) -> None:
    """Waits for the standby cluster; one that was promoted, or can't follow any more, is made anew."""
    deadline = Deadline(20)
    while services.node_is_running(DR) and not leads(DR) and not deadline.passed:
        if lab_status().dr_follows:
            return
        time.sleep(0.1)
    say(f"{DR.name} copies the cluster as a standby cluster")
    remove_service(DR)
    dr.forget()
    add_services(shape)
    services.write_node(DR, shape)
    services.start_node(DR)
    wait_for(f"{DR.name} to stream from the leader", 60, lambda: lab_status().dr_follows)


def add_services(shape: Shape) -> None:
    """Makes the users and folders of those services that have none yet."""
    for service in shape.services:
        host.make_user(service)
        host.make_folder(service)


def remove_service(service: Service) -> None:
    """Removes one service, and all that it has left."""
    host.kill(service)
    firewall.heal(service)
    host.remove_shared_memory(service)
    host.remove_folder(service)
    host.wait_until_buried((service,))
    host.remove_user(service)


def start_dns() -> None:
    say("dns")
    if not dns.has_files():
        dns.write_files()
    dns.start()


def start_etcd() -> None:
    say("etcd")
    services.start_etcd()
    wait_for("etcd", 20, services.etcd_is_healthy)


def change(setting: str, value: bool | dict) -> None:
    """Changes a setting of the cluster's dynamic configuration."""
    wait_for(f"a node that takes the change of {setting}", 60, lambda: patroni.change(NODES, {setting: value}))


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
