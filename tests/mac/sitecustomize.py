"""Makes Python on Linux lack what it lacks on a Mac: in PYTHONPATH of a process, imported when it starts."""

import errno
import os
import select
import signal
import socket
import sys
import time

ONLY_ON_LINUX = {
    os: (
        *("posix_fallocate", "posix_fadvise", "fdatasync", "pipe2", "getrandom", "memfd_create", "eventfd"),
        *("copy_file_range", "splice", "pidfd_open", "sched_getaffinity", "sched_setaffinity", "getresuid"),
        *("getxattr", "setxattr", "listxattr", "removexattr"),
        *("O_TMPFILE", "O_PATH", "O_DIRECT", "O_NOATIME"),
    ),
    socket: ("SOCK_CLOEXEC", "SOCK_NONBLOCK", "SO_PEERCRED", "TCP_USER_TIMEOUT", "SO_BINDTODEVICE", "AF_NETLINK"),
    select: ("epoll",),
    signal: ("sigtimedwait", "sigwaitinfo", "SIGRTMIN", "SIGRTMAX", "SIGSTKFLT", "SIGPWR"),
    time: ("CLOCK_BOOTTIME",),
}


def hide_proc(event: str, given: tuple[object, ...]) -> None:
    """Let every call fail that names a file in /proc."""
    if event in ("open", "os.listdir", "os.scandir") and str(given[0]).startswith("/proc"):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", given[0])


for module, names in ONLY_ON_LINUX.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
    if hasattr(module, "__all__"):
        module.__all__ = [name for name in module.__all__ if name not in names]  # type: ignore[attr-defined]
sys.addaudithook(hide_proc)
