"""Patroni: the configuration of a node, and the REST API that it answers on."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

from .layout import APP, ETCD, POSTGRES_BIN, REPLICATION, SCOPE, SUPERUSER, Service

API_PORT = 8008


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
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
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


def configuration(node: Service, synchronous: bool) -> str:
    """The node's configuration file: JSON, which is YAML too."""
    superuser, superuser_password = SUPERUSER
    replicator, replicator_password = REPLICATION
    return json.dumps(
        {
            "scope": SCOPE,
            "name": node.name,
            "log": {"dir": str(node.folder)},
            "restapi": listen(node, API_PORT),
            "etcd3": {"hosts": f"{ETCD.address}:2379"},
            "bootstrap": bootstrap(node, synchronous),
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
                    "superuser": {"username": superuser, "password": superuser_password},
                    "replication": {"username": replicator, "password": replicator_password},
                },
                "parameters": {"unix_socket_directories": str(node.folder), "lc_messages": "C"},
                "pg_hba": [
                    f"local all {superuser} trust",
                    f"local replication {replicator} scram-sha-256",
                    "host all all 127.0.0.0/8 scram-sha-256",
                    "host replication all 127.0.0.0/8 scram-sha-256",
                ],
                "basebackup": [{"checkpoint": "fast"}],
                # A node that can't be rewound is copied anew: it always comes back.
                "remove_data_directory_on_rewind_failure": True,
                "remove_data_directory_on_diverged_timelines": True,
            },
        },
        indent=2,
    )


def listen(node: Service, port: int) -> dict:
    return {"listen": f"{node.address}:{port}", "connect_address": f"{node.address}:{port}"}


def bootstrap(node: Service, synchronous: bool) -> dict:
    return {
        "dcs": {
            # The shortest ttl that Patroni takes.
            "ttl": 20,
            "loop_wait": 2,
            "retry_timeout": 5,
            "maximum_lag_on_failover": 1 << 30,
            "synchronous_mode": synchronous,
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
