"""Patroni: the configuration of a node, and the REST API that it answers on."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

from . import certificates
from .layout import APP, DR, DR_SCOPE, ETCD, NODES, POSTGRES_BIN, REPLICATION, SCOPE, SUPERUSER, Service
from .state import Shape

API_PORT = 8008
# The leader keeps for the standby cluster what that has not received yet. Only with a slot of its own does a standby
# cluster that is given several hosts pick the one that is the leader.
DR_SLOT = {DR.name: {"type": "physical"}}


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    def json(self) -> dict | None:
        """The body as an object, None if it is none."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None


def ask(
    address: str,
    path: str,
    *,
    port: int = API_PORT,
    method: str = "GET",
    body: dict | None = None,
    timeout: float = 1.0,
) -> Answer | None:
    """Asks an HTTP server; None if it is down or does not answer within `timeout` seconds."""
    context = certificates.client_context() if port == API_PORT else None
    if context is None:
        connection = http.client.HTTPConnection(address, port, timeout=timeout)
    else:
        connection = http.client.HTTPSConnection(address, port, timeout=timeout, context=context)
    try:
        connection.request(
            method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        return Answer(response.status, response.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def change(nodes: tuple[Service, ...], body: dict) -> bool:
    """Changes the dynamic configuration of the cluster of these nodes; whether one of them took it."""
    answers = (ask(node.address, "/config", method="PATCH", body=body) for node in nodes)
    return any(answer is not None and answer.status == 200 for answer in answers)


def configuration(node: Service, shape: Shape) -> str:
    """The node's configuration file: JSON, which is YAML too."""
    tls = shape.tls != "off"
    mutual = shape.tls == "mutual"
    superuser, superuser_password = SUPERUSER
    replicator, replicator_password = REPLICATION
    peers = peer_tls(node) if tls else {}
    hba = "hostssl" if tls else "host"
    hba_options = " clientcert=verify-ca" if mutual else ""
    return json.dumps(
        {
            "scope": DR_SCOPE if node == DR else SCOPE,
            "name": node.name,
            "log": {"dir": str(node.folder)},
            "restapi": listen(node, API_PORT) | (api_tls(node, mutual) if tls else {}),
            **({"ctl": ctl_tls(node)} if tls else {}),
            "etcd3": {"hosts": f"{ETCD.address}:2379"},
            "bootstrap": bootstrap(node, shape),
            "watchdog": {"mode": "off"},
            "postgresql": {
                **listen(node, 5432),
                "bin_dir": str(POSTGRES_BIN),
                "data_dir": str(node.folder / "data"),
                "pgpass": str(node.folder / "pgpass"),
                # A partitioned node still reaches its own PostgreSQL.
                "use_unix_socket": True,
                "use_unix_socket_repl": True,
                "authentication": {
                    "superuser": {"username": superuser, "password": superuser_password, **peers},
                    "replication": {"username": replicator, "password": replicator_password, **peers},
                },
                "parameters": {
                    "unix_socket_directories": str(node.folder),
                    "lc_messages": "C",
                    **(server_tls(node) if tls else {}),
                },
                "pg_hba": [
                    f"local all {superuser} trust",
                    f"local replication {replicator} scram-sha-256",
                    f"{hba} all all 127.0.0.0/8 scram-sha-256{hba_options}",
                    f"{hba} replication all 127.0.0.0/8 scram-sha-256{hba_options}",
                ],
                "basebackup": [{"checkpoint": "fast"}],
                # A node that can't be rewound is copied anew: it always comes back.
                "remove_data_directory_on_rewind_failure": True,
                "remove_data_directory_on_diverged_timelines": True,
                **({"callbacks": callbacks(node)} if shape.dns and node != DR else {}),
            },
        },
        indent=2,
    )


def listen(node: Service, port: int) -> dict:
    return {"listen": f"{node.address}:{port}", "connect_address": f"{node.address}:{port}"}


def api_tls(node: Service, mutual: bool) -> dict:
    return {
        "certfile": str(node.folder / "server.pem"),
        "keyfile": str(node.folder / "server.key"),
        "cafile": str(certificates.CA),
        "verify_client": "required" if mutual else "none",
    }


def ctl_tls(node: Service) -> dict:
    """What patronictl, and Patroni itself, show and expect when they ask other nodes."""
    return {
        "cacert": str(certificates.CA),
        "certfile": str(node.folder / "server.pem"),
        "keyfile": str(node.folder / "server.key"),
    }


def server_tls(node: Service) -> dict:
    return {
        "ssl": "on",
        "ssl_cert_file": str(node.folder / "server.pem"),
        "ssl_key_file": str(node.folder / "server.key"),
        "ssl_ca_file": str(certificates.CA),
    }


def peer_tls(node: Service) -> dict:
    """How a node connects to the PostgreSQL of another."""
    return {
        "sslmode": "verify-full",
        "sslrootcert": str(certificates.CA),
        "sslcert": str(node.folder / "server.pem"),
        "sslkey": str(node.folder / "server.key"),
    }


def callbacks(node: Service) -> dict:
    """The script of docs/examples, that keeps the leader's SRV record; see dns.py."""
    command = f"{node.folder / 'patroni-srv-callback'} {node.folder / 'srv-callback.conf'}"
    return {action: command for action in ("on_start", "on_stop", "on_role_change")}


def bootstrap(node: Service, shape: Shape) -> dict:
    standby_cluster = {
        "host": ",".join(node.address for node in NODES),
        "port": 5432,
        "primary_slot_name": DR.name,
        "create_replica_methods": ["basebackup"],
    }
    return {
        "dcs": {
            # The shortest ttl that Patroni takes.
            "ttl": 20,
            "loop_wait": 2,
            "retry_timeout": 5,
            "maximum_lag_on_failover": 1 << 30,
            "synchronous_mode": shape.sync and node != DR,
            **({"standby_cluster": standby_cluster} if node == DR else {}),
            **({"slots": DR_SLOT} if shape.dr and node != DR else {}),
            "postgresql": {
                "use_pg_rewind": True,
                "use_slots": True,
                "parameters": {
                    "shared_buffers": "32MB",
                    "max_connections": 100,
                    "wal_keep_size": "64MB",
                    "wal_log_hints": "on",
                    "hot_standby_feedback": "on",
                    # The default makes a replica that was a moment too early wait for 5 s.
                    "wal_retrieve_retry_interval": "1s",
                },
            },
        },
        "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
        # Patroni appends the connection string.
        "post_bootstrap": f"{POSTGRES_BIN}/psql -X -q -v ON_ERROR_STOP=1 -f {node.folder}/app.sql -d",
    }


def bootstrap_sql() -> str:
    """What the new cluster gets before anybody may use it."""
    user, password = APP
    return f"CREATE ROLE {user} LOGIN PASSWORD '{password}';\nCREATE DATABASE {user} OWNER {user};\n"
