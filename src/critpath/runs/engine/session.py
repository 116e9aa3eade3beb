"""A session of Ray for one run: quiet, on this machine's loopback, with nothing left behind."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import IO, Any, cast

from critpath.errors import MissingDependencyError
from critpath.runs.engine.work import Resources

OBJECT_STORE = 80 * 2**20
"""Bytes of memory that Ray takes for objects: only tasks and facts pass through it."""

LOOPBACK = "127.0.0.2"
"""Where a session of our own listens; Ray replaces 127.0.0.1 by the machine's address in the network."""

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@contextmanager
def session(resources: Resources) -> Iterator[Any]:
    """Ray: the session that the caller has, the cluster's, or one of our own that ends here."""
    ray = _imported()
    with redirect_stdout(cast(IO[str], WithoutRaylet(sys.stdout))), _errors_only("ray"), ExitStack() as stack:
        if not ray.is_initialized():
            stack.enter_context(_environment(QUIET))
            options = {"address": resources.address} if resources.address else stack.enter_context(_own(resources))
            stack.callback(ray.shutdown)
            with _handlers_kept():
                ray.init(**options, log_to_driver=False, configure_logging=False)
        yield ray


@contextmanager
def _own(resources: Resources) -> Iterator[dict[str, Any]]:
    """Options of a session of our own: on the loopback, its files in a folder that is deleted."""
    with _own_folder() as files:
        yield {
            "address": "local",
            "num_cpus": len(resources.devices),
            "num_gpus": 0,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE,
            "_temp_dir": files,
            "_node_ip_address": LOOPBACK if sys.platform == "linux" else "127.0.0.1",
        }


@contextmanager
def _own_folder() -> Iterator[str]:
    """A new temporary folder with a short name, for the paths of sockets have a limit; deleted at the end."""
    base = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="critpath-", dir=base if len(base) <= 20 or not os.path.isdir("/tmp") else "/tmp")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    set_environment(values)
    try:
        yield
    finally:
        set_environment(before)


@contextmanager
def _errors_only(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray sets a handler of its own for SIGTERM."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _imported() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingDependencyError("ray", "ray", "engine='ray'") from error
    return ray


class WithoutRaylet:
    """Standard output without what Ray writes there when a worker dies; the run reports that itself."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.dropped = stream, False

    def write(self, text: str) -> int:
        """Writes the text, but neither Ray's lines nor the end of a line that ``print`` writes after one."""
        end_of_dropped, self.dropped = self.dropped and text == "\n", "(raylet)" in text
        if not (self.dropped or end_of_dropped):
            self.stream.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def set_environment(values: Mapping[str, str | None]) -> None:
    """Set the variables, and unset those that are None."""
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
