"""The lab as a whole: whether it is up and in which shape, and the lock that its commands take."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from . import host
from .layout import DATA, DNS, DR, ETCD, HAPROXY, NODES, LabError, Service
from .waiting import Deadline, say

LOCK = Path("/run/hadsn-lab.lock")
# Written last by `up`: without it the data folder is what a lab that was cut off has left.
SHAPE = DATA / "lab.json"


@dataclass(frozen=True)
class Shape:
    """What a lab was asked to be."""

    haproxy: bool = False
    sync: bool = False
    tls: str = "off"  # or `server`, or `mutual`: clients need a certificate, too
    dns: bool = False
    dr: bool = False

    @property
    def nodes(self) -> tuple[Service, ...]:
        return (*NODES, DR) if self.dr else NODES

    @property
    def services(self) -> tuple[Service, ...]:
        optional = ((HAPROXY, self.haproxy), (DNS, self.dns))
        return (ETCD, *self.nodes, *(service for service, wanted in optional if wanted))


def current_shape() -> Shape | None:
    """The shape of the lab that is up, None if there is none or only what one that was cut off has left."""
    if not host.data_exists() or not SHAPE.exists():
        return None
    shape = Shape(**json.loads(SHAPE.read_text()))
    if any(host.uid_of(service) is None for service in shape.services):
        return None
    return shape


def note_shape(shape: Shape) -> None:
    SHAPE.write_text(json.dumps(asdict(shape)))


def require_up() -> Shape:
    shape = current_shape()
    if shape is None:
        raise LabError("not up: run `tests/lab/lab up` first")
    return shape


@contextlib.contextmanager
def lock_of_a_lab() -> Iterator[Shape]:
    """The lock, for verbs that need a lab that is up."""
    with lock():
        yield require_up()


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """One lab command at a time. Without a lab there is no lock file either: `down` leaves nothing."""
    descriptor = take_lock(Deadline(60))
    try:
        yield
    finally:
        if not SHAPE.exists():
            LOCK.unlink()
        os.close(descriptor)


def take_lock(deadline: Deadline) -> int:
    said = False
    while True:
        descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_lock_file(descriptor):
                return descriptor
        except BlockingIOError:
            if not said:
                say("waiting for another lab command to end")
                said = True
        os.close(descriptor)
        if deadline.passed:
            raise LabError(f"another lab command has held {LOCK} for {deadline.seconds:.0f} s: `fuser {LOCK}` shows it")
        time.sleep(0.1)


def is_lock_file(descriptor: int) -> bool:
    """Whether the lock is still the one at its path: the holder before may have removed the file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(LOCK))
    except FileNotFoundError:
        return False
