"""Partitions: packet filter rules that cut a node off from everybody else."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from itertools import pairwise

from . import host
from .layout import LabError, Service

# Each rule carries it, so that rules of a lab that crashed are found, and nobody else's are.
COMMENT = "hadsn-lab"
IPTABLES = ("iptables", "--wait", "10")


def partition(node: Service) -> None:
    for rule in rules(node):
        if not rule_exists(rule):
            host.run(*IPTABLES, "--insert", *rule)


def heal(node: Service) -> None:
    for rule in rules(node):
        while rule_exists(rule):
            host.run(*IPTABLES, "--delete", *rule)


def is_partitioned(node: Service) -> bool:
    return host.uid_of(node) is not None and any(rule_exists(rule) for rule in rules(node))


def remove_all_rules() -> None:
    """Removes what any lab left, also for users that are gone."""
    if shutil.which("iptables") is None:
        return  # no lab has been up here
    for line in host.run(*IPTABLES, "--list-rules").splitlines():
        action, *rule = shlex.split(line)
        if action == "-A" and ("--comment", COMMENT) in pairwise(rule):
            host.run(*IPTABLES, "--delete", *rule)


def rules(node: Service) -> list[list[str]]:
    """The rules of a partition.

    What goes to the node and what its servers answer is lost on the way in, as behind a pulled cable. What it
    sends as a client has another source address (127.0.0.1), so its user gives it away. The node keeps talking to
    itself: Patroni reaches its own PostgreSQL through a Unix socket.
    """
    comment = ["-m", "comment", "--comment", COMMENT, "-j", "DROP"]
    uid = host.uid_of(node)
    return [
        ["INPUT", "-d", f"{node.address}/32", *comment],
        ["INPUT", "-s", f"{node.address}/32", *comment],
        ["OUTPUT", "-m", "owner", "--uid-owner", str(uid), *comment],
    ]


def rule_exists(rule: list[str]) -> bool:
    result = subprocess.run([*IPTABLES, "--check", *rule], capture_output=True, text=True, timeout=60, check=False)
    if result.returncode not in (0, 1):
        raise LabError(f"iptables can't be asked for its rules: {result.stderr.strip()}")
    return result.returncode == 0
