"""A process without network: its own empty network namespace, or, where the kernel refuses one, a guard inside Python.

UNIX sockets by path go through the file system and keep working in both.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from pathlib import Path
from typing import Literal

CLONE_NEWNET = 0x40000000
CLONE_NEWUSER = 0x10000000

Isolation = Literal["namespace", "hook"]


class NetworkReachableError(Exception):
    """The process could still reach a network address after it was cut off."""


def isolate() -> Isolation:
    """Cut this process off and say how. Call it before any thread starts: a namespace belongs to the calling thread alone.

    ``hook`` stops Python code only, not native code: the deployment should then add ``PrivateNetwork=yes``.
    Raises NetworkReachableError when a connection still gets through.
    """
    how: Isolation = "namespace" if _enter_empty_namespace() else "hook"
    if how == "hook":
        sys.addaudithook(_refuse_network)
    _try_to_connect()
    return how


def _enter_empty_namespace() -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0 and libc.unshare(CLONE_NEWNET) == 0:
        return True
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return False
    # Without a mapping we would be nobody, and nobody may create the socket file.
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")
    (own / "uid_map").write_text(f"{user} {user} 1")
    (own / "gid_map").write_text(f"{group} {group} 1")
    return True


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    if event in {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"}:
        carrier = arguments[0]
        if isinstance(carrier, socket.socket) and carrier.family != socket.AF_UNIX:
            raise PermissionError("translation has no network")
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        raise PermissionError("translation has no network")


def _try_to_connect() -> None:
    # Port 9 (discard) of this machine: with a network this is refused or accepted, without one it is unreachable.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(("127.0.0.1", 9))
        except PermissionError:
            return
        except ConnectionRefusedError:
            pass
        except OSError:
            return
    raise NetworkReachableError("translation could still reach the network after it was cut off")
