"""The standby cluster: one node that streams from the lab's leader until it is promoted."""

from __future__ import annotations

import base64

from . import patroni
from .layout import DR, DR_SCOPE, ETCD, LabError
from .state import Shape


def slots(shape: Shape) -> dict:
    """The cluster's slots, as a change of its configuration: Patroni drops the one that is none any more."""
    return patroni.DR_SLOT if shape.dr else {name: None for name in patroni.DR_SLOT}


def stop_following() -> bool:
    """Takes the standby cluster's configuration away: its leader then promotes itself. Whether it was taken."""
    return patroni.change((DR,), {"standby_cluster": None})


def forget() -> None:
    """Removes from etcd what a standby cluster has left there; its node must be gone."""
    first = f"/service/{DR_SCOPE}/"
    last = first[:-1] + chr(ord(first[-1]) + 1)  # the key behind all that begin with it
    body = {"key": encoded(first), "range_end": encoded(last)}
    answer = patroni.ask(ETCD.address, "/v3/kv/deleterange", port=2379, method="POST", body=body, timeout=5)
    if answer is None or answer.status != 200:
        raise LabError(f"etcd did not remove {first}: {answer.text if answer else 'no answer'}")


def require(shape: Shape) -> None:
    if not shape.dr:
        raise LabError("this lab has no standby cluster: run `tests/lab/lab up --dr`")


def encoded(key: str) -> str:
    return base64.b64encode(key.encode()).decode()
