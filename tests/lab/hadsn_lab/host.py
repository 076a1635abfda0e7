"""What the operating system holds of the lab: users, processes, shared memory, ports."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .layout import DATA, LabError, Service
from .waiting import Deadline

# In the comment field of each user that the lab makes: a user of the same name without it is somebody else's.
MARK = "hadsn test lab"

INTERRUPTS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


# Users


def make_user(service: Service) -> None:
    """Makes the service's user, or takes over the one that an earlier lab left."""
    if uid_of(service) is not None:
        return
    run(
        "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(service.folder),
        "--shell", "/usr/sbin/nologin", "--comment", MARK, service.user,
    )


def remove_user(service: Service) -> None:
    """Removes the service's user; its processes must be gone."""
    if uid_of(service) is None:
        return
    # A process that nobody has waited for yet still counts as the user's, and userdel then refuses without --force.
    # Without --remove it touches no files.
    run("userdel", "--force", service.user)


def uid_of(service: Service) -> int | None:
    """The number of the service's user, None if there is none; a namesake that the lab did not make is an error."""
    try:
        entry = pwd.getpwnam(service.user)
    except KeyError:
        return None
    if entry.pw_gecos != MARK or entry.pw_uid == 0:
        raise LabError(f"the user {service.user} exists and the lab did not make it: rename or remove it")
    return entry.pw_uid


# Processes


@dataclass(frozen=True)
class Process:
    pid: int
    state: str  # a letter, see proc(5)
    command: list[str]

    @property
    def lives(self) -> bool:
        return self.state not in "ZX"

    @property
    def stopped(self) -> bool:
        return self.state == "T"


def launch(service: Service, command: list[str], log: str) -> None:
    """Starts a daemon under the service's user; what it prints goes to a log file in the service's folder."""
    entry = pwd.getpwnam(service.user)
    with open(service.folder / log, "ab") as output:
        os.fchown(output.fileno(), entry.pw_uid, entry.pw_gid)
        # In a session of its own, on no terminal and no inherited pipe: it outlives the caller and does not hold it.
        subprocess.run(
            ["setsid", "--fork", *command],
            user=entry.pw_uid, group=entry.pw_gid, extra_groups=[],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            cwd=service.folder, env=environment(service), check=True,
        )


def environment(service: Service) -> dict[str, str]:
    """Nothing of the caller's: a PATRONI_… or PG… variable of theirs would change the lab."""
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(service.folder),
        "TMPDIR": str(service.folder),
        "LC_ALL": "C.UTF-8",
    }


def processes(service: Service) -> list[Process]:
    """The living processes of the service's user."""
    return [process for process in process_entries(service) if process.lives]


def process_entries(service: Service) -> list[Process]:
    """The processes of the service's user, with those that have ended and that nobody has waited for yet."""
    uid = uid_of(service)
    if uid is None:
        return []
    found = (read_process(int(name), uid) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in found if process is not None]


def read_process(pid: int, uid: int) -> Process | None:
    """The process, if it runs under the user `uid`."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None  # it ended while we were looking
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    if str(uid) not in fields["Uid"].split():
        return None
    return Process(pid, fields["State"][0], command.decode(errors="replace").split("\0")[:-1])


def freeze(service: Service) -> None:
    """Stops every process of the service's user, those forked meanwhile too."""
    signal_until(service, signal.SIGSTOP, lambda process: process.stopped)


def thaw(service: Service) -> None:
    signal_until(service, signal.SIGCONT, lambda process: not process.stopped)


def kill(service: Service) -> None:
    """Ends every process of the service's user at once, frozen ones too, and waits until they are gone."""
    # Stopped first, none sees another one die and starts to react: like a machine that loses its power.
    freeze(service)
    signal_until(service, signal.SIGKILL, lambda process: False)


def wait_until_buried(services: tuple[Service, ...]) -> None:
    """Waits until the killed are out of the process table too, for a while.

    That is up to process 1, which inherits them: some are slow, and in some containers it never happens.
    """
    deadline = Deadline(5)
    while any(process_entries(service) for service in services) and not deadline.passed:
        time.sleep(0.02)


def signal_until(service: Service, number: signal.Signals, done) -> None:
    """Signals the user's processes again and again until each that is left is done."""
    deadline = Deadline(20)
    while rest := [process for process in processes(service) if not done(process)]:
        if deadline.passed:
            pids = " ".join(str(process.pid) for process in rest)
            raise LabError(f"{service.name}: {number.name} had no effect within {deadline.seconds} s on {pids}")
        for process in rest:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
        time.sleep(0.01)


# What processes leave behind


def remove_shared_memory(service: Service) -> None:
    """Removes the System V objects and the files in /dev/shm that killed processes could not remove."""
    uid = uid_of(service)
    if uid is None:
        return
    for kind, option in (("shm", "-m"), ("sem", "-s"), ("msg", "-q")):
        for number in system_v_objects(kind, uid):
            run("ipcrm", option, number)
    for entry in os.scandir("/dev/shm"):
        if entry.stat(follow_symlinks=False).st_uid == uid and not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)


def system_v_objects(kind: str, uid: int) -> list[str]:
    """The ids of the objects of a kind that belong to a user."""
    header, *rows = [line.split() for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()]
    number, owner = 1, header.index("uid")
    return [row[number] for row in rows if row[owner] == str(uid)]


def remove_data() -> None:
    if data_exists():
        shutil.rmtree(DATA)


def write(service: Service, name: str, text: str, mode: int = 0o600) -> None:
    """Writes a file that only the service's user reads: it may hold passwords."""
    path = service.folder / name
    path.write_text("")
    path.chmod(mode)
    path.write_text(text)
    owner = pwd.getpwnam(service.user)
    os.chown(path, owner.pw_uid, owner.pw_gid)


def remove_folder(service: Service) -> None:
    if service.folder.exists():
        shutil.rmtree(service.folder)


def data_exists() -> bool:
    """Whether the data folder is there; one that is not root's own could be a trap in a folder anybody writes to."""
    try:
        info = os.lstat(DATA)
    except FileNotFoundError:
        return False
    if not os.path.isdir(DATA) or os.path.islink(DATA) or info.st_uid != 0:
        raise LabError(f"{DATA} is there and the lab did not make it: remove it")
    return True


def make_folder(service: Service) -> None:
    """Makes the service's folder, unless it is there."""
    if service.folder.exists():
        return
    entry = pwd.getpwnam(service.user)
    service.folder.mkdir(mode=0o700)
    os.chown(service.folder, entry.pw_uid, entry.pw_gid)


# Ports


def refuse_taken_ports(services: list[Service]) -> None:
    """An error if something else listens where one of these services is about to."""
    for service in services:
        for port in service.ports:
            if port_is_taken(service.address, port, socket.SOCK_STREAM) or (
                service.udp and port_is_taken(service.address, port, socket.SOCK_DGRAM)
            ):
                raise LabError(
                    f"{service.address}:{port} is taken: something that is not the lab's listens there"
                    f" ({service.name} needs it; `ss -lntup sport = :{port}` shows what it is)"
                )


def port_is_taken(address: str, port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            # Connections that are only being closed do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise LabError(f"{address}:{port} can't be listened on: {error.strerror}") from error
    return False


# Commands


def run(*command: str) -> str:
    """Runs a short command to its end, even on Ctrl-C, and returns what it printed."""
    with uninterrupted():
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
    if result.returncode != 0:
        raise LabError(f"`{' '.join(command)}` failed: {(result.stderr or result.stdout).strip()}")
    return result.stdout


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits: a useradd that is killed half-way leaves its lock files behind."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
