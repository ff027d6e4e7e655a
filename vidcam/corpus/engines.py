"""Engines that run the clips of a corpus: processes of this machine, or a Ray cluster."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Generator, Iterable
from contextlib import closing
from itertools import islice
from queue import Queue
from threading import Event, Lock, Thread
from typing import Any, Protocol

import psutil

from vidcam.corpus.job import Job, Record
from vidcam.corpus.manifest import Entry
from vidcam.corpus.results import Results
from vidcam.corpus.worker import Worker
from vidcam.errors import SettingsError, VidcamError
from vidcam.video.cores import cores

_MEMORY = 2 << 30  # bytes of a machine's memory for each of its workers
_GPU_MEMORY = 4 << 30  # bytes of a GPU's for each of its workers
_CLIPS = 10_000  # that a Ray cluster is given at once
_PROBES = 20  # clips that are tried until one can be used to choose the dtype


class Engine(Protocol):
    """A function that explains clips and yields the record of each, in any order, once its results are written."""

    def __call__(
        self, job: Job, results: Results, entries: Iterable[Entry], first: Worker | None = None
    ) -> Generator[Record]:
        """Explain clips, and return an iterator over their records.

        Args:
            job: the settings of the run.
            results: where the results are written.
            entries: the clips.
            first: a worker that runs already, and can be used; the engine closes it.
        """
        ...


def local(workers: int | None = None) -> Engine:
    """Return the engine that runs clips in processes of this machine.

    Reading, drawing and encoding take most of a clip's time, so that several processes share a GPU.

    Args:
        workers: number of processes; by default one per core as far as the memory allows, and that of the GPUs.
    """

    def run(job: Job, results: Results, entries: Iterable[Entry], first: Worker | None = None) -> Generator[Record]:
        stopping, taking, source = Event(), Lock(), iter(entries)
        done: Queue[Record | BaseException | None] = Queue()

        if first is not None:
            first.take(job, stopping)

        def serve(index: int) -> None:
            try:
                known = first if index == 0 else None
                with closing(known or Worker(job, stopping, index)) as worker:
                    while not stopping.is_set():
                        with taking:
                            entry = next(source, None)
                        if entry is None:
                            break
                        done.put(worker.finish(entry, results))
                done.put(None)
            except BaseException as error:
                done.put(error)

        threads = [Thread(target=serve, args=[index]) for index in range(workers or _default_workers())]
        for thread in threads:
            thread.start()
        try:
            at_work = len(threads)
            while at_work:
                outcome = done.get()
                if isinstance(outcome, BaseException):
                    raise outcome
                if outcome is None:
                    at_work -= 1
                else:
                    yield outcome
        finally:
            stopping.set()
            for thread in threads:
                thread.join()

    return run


def _default_workers() -> int:
    import torch

    possible = [cores(), psutil.virtual_memory().total // _MEMORY]
    if gpus := torch.cuda.device_count():
        smallest = min(torch.cuda.get_device_properties(index).total_memory for index in range(gpus))
        possible.append(gpus * (smallest // _GPU_MEMORY))
    return max(1, *([gpus] if gpus else []), min(possible))


def ray(address: str | None = None, workers: int | None = None) -> Engine:
    """Return the engine that runs clips on a Ray cluster; all nodes must share the directory of the results.

    Args:
        address: host:port of the cluster; by default Ray on this machine.
        workers: number of workers, which share the GPUs of the cluster; by default one per GPU, or one per core.

    Raises:
        SettingsError: Ray is not installed, or there is no cluster at that address.
    """
    try:
        import ray as cluster
        import ray.data as data
    except ImportError as error:
        raise SettingsError(f"Ray is not installed ({error.name}): pip install 'vidcam[ray]'") from error

    def run(job: Job, results: Results, entries: Iterable[Entry], first: Worker | None = None) -> Generator[Record]:
        if first is not None:
            first.close()
        try:
            _check_address(address)
            cluster.init(address=address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise SettingsError(f"there is no Ray cluster at {address} ({error}); give another --address") from error
        try:
            data.DataContext.get_current().enable_progress_bars = False
            logging.getLogger("ray.data").setLevel(logging.ERROR)
            resources = cluster.cluster_resources()  # type: ignore[no-untyped-call]
            gpus = resources.get("GPU", 0)
            many = workers or int(gpus or resources["CPU"])
            remaining = iter(entries)
            while some := [entry.model_dump() for entry in islice(remaining, _CLIPS)]:
                rows = data.from_items([{"entry": json.dumps(e)} for e in some], override_num_blocks=len(some))
                mapped = rows.map(
                    _Actor,  # type: ignore[arg-type]
                    fn_constructor_args=[job, results],
                    compute=data.ActorPoolStrategy(size=many),
                    num_cpus=0 if gpus else 1,
                    num_gpus=min(1.0, gpus / many),
                )
                for row in mapped.iter_rows():
                    outcome = json.loads(row["outcome"])
                    if "ends" in outcome:
                        raise VidcamError(outcome["ends"])
                    yield outcome
        finally:
            cluster.shutdown()

    return run


def _check_address(address: str | None) -> None:
    """Connect to host:port for a moment; Ray itself would retry for a quarter of an hour.

    Raises:
        OSError: nothing listens there.
    """
    match = re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address or "")
    if match:
        socket.create_connection((match[1], int(match[2])), timeout=10).close()


class _Actor:
    """A worker on a node of the cluster."""

    def __init__(self, job: Job, results: Results) -> None:
        self._results, self._worker = results, Worker(job, Event())

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        try:
            outcome = self._worker.finish(Entry(**json.loads(row["entry"])), self._results)
        except VidcamError as error:
            outcome = {"ends": str(error)}
        return {"outcome": json.dumps(outcome)}

    def __del__(self) -> None:
        self._worker.close()


def common_dtype(worker: Worker, entries: Iterable[Entry], results: Results) -> str:
    """Return the dtype for every clip of a run: this machine's fastest one if the first usable clip allows it.

    Raises:
        VidcamError: the network cannot be loaded.
    """
    for entry in islice(entries, _PROBES):
        if found := worker.dtype(entry, results):
            return found
    return "float32"
