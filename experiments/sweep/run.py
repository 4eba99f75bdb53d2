"""A sweep from its settings to experiments in the user's repository."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from advaudio.core.device import visible_gpus
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import write_json, write_text
from advaudio.core.parallel import worker_count
from experiments.sweep.cells import Cell, cells_of
from experiments.sweep.cluster import local_client, scheduler_client
from experiments.sweep.git import (
    committed_head,
    experiment_reference,
    experiments,
    git,
    parameters_at,
)
from experiments.sweep.in_git import require_in_git
from experiments.sweep.jobs import FOLDER, GIT_REMOTE, Site, local_site, remote_site
from experiments.sweep.plan import Shared, shared_stages
from experiments.sweep.worker import Job, Outcome, run_job

if TYPE_CHECKING:
    from distributed import Client, Future

STOP_SECONDS = 30


@dataclass(frozen=True)
class News:
    """What a sweep tells while it runs.

    Parameters
    ----------
    cells, done
        Cells in all, and those whose experiment is in the repository.
    outcome
        The job that has just ended, if any.
    seconds_left
        Estimate, from the cells that ended so far; None before the first.
    """

    cells: int
    done: int
    outcome: Outcome | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class Summary:
    """The end of a sweep: names of the cells already there, those that ran now, and what went wrong."""

    skipped: tuple[str, ...]
    done: tuple[str, ...]
    failed: tuple[Outcome, ...]


def sweep(
    settings: Sequence[str],
    repository: Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    folder: str = "~/.cache/advaudio-sweep",
    tell: Callable[[News], None] = lambda news: None,
) -> Summary:
    """Run every cell of `settings` that has no experiment yet.

    Parameters
    ----------
    settings
        As for `experiments.sweep.cells.cells_of`.
    repository
        Top folder of the user's Git and DVC repository.
    workers
        Processes on this machine; by default one per GPU, or one.
    scheduler
        Address of a dask scheduler whose workers run the cells instead.
    folder
        Where those workers keep clones and their DVC cache.
    tell
        Called at the start and whenever a job ends.

    Raises
    ------
    AdvaudioError
        If the settings, the repository or the cluster is not fit, before anything runs.
    """
    cells = cells_of(settings, repository / "params.yaml")
    baseline = committed_head(repository)
    require_in_git(cells, repository)
    records = repository / FOLDER / baseline[:12]
    with _only_one(repository):
        if scheduler is None:
            gpus = () if all(cell.params["device"] == "cpu" for cell in cells) else visible_gpus()
            count = workers or len(gpus) or 1
            site = local_site(repository, baseline, cores=max(1, worker_count() // count))
            client: AbstractContextManager[Client] = local_client(count, gpus, records / "dask")
        else:
            site = remote_site(repository, baseline, folder)
            every = experiment_reference(baseline, "*")
            git(repository, "fetch", "--quiet", "--force", GIT_REMOTE, f"{every}:{every}")
            client = scheduler_client(scheduler)
        there = _finished(cells, repository, baseline)
        missing = [cell for cell in cells if cell.name not in there]
        tell(News(len(cells), len(there)))
        if not missing:
            return Summary(there, (), ())
        shared = shared_stages(missing, repository / "dvc.yaml")
        with client as connected:
            outcomes = _Run(connected, site, repository, records, tell, len(cells), len(there)).all(
                missing, shared
            )
    done = tuple(cell.name for cell in missing if outcomes[cell.name].state == "done")
    return Summary(there, done, tuple(outcome for outcome in outcomes.values() if outcome.state != "done"))


def _only_one(repository: Path) -> AbstractContextManager[Any]:
    lock = FileLock(repository / FOLDER / "lock")
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        return lock.acquire(timeout=0)
    except Timeout as error:
        raise AdvaudioError(
            f"Another sweep runs in {repository}: wait for it or stop it, then run the same command again."
        ) from error


def _finished(cells: Sequence[Cell], repository: Path, baseline: str) -> tuple[str, ...]:
    existing = experiments(repository, baseline)
    finished = []
    for cell in cells:
        commit = existing.get(cell.name)
        if commit is None:
            continue
        if parameters_at(repository, commit) != cell.params:
            raise AdvaudioError(
                f"There is an experiment {cell.name} with other parameters: remove it with "
                f"`dvc exp remove {cell.name}` or rename it with `dvc exp rename`, then run the same command again."
            )
        finished.append(cell.name)
    return tuple(finished)


class _Run:
    """Jobs on their way."""

    def __init__(
        self,
        client: Client,
        site: Site,
        repository: Path,
        records: Path,
        tell: Callable[[News], None],
        total: int,
        there: int,
    ) -> None:
        self.client = client
        self.site = site
        self.repository = repository
        self.records = records
        self.tell = tell
        self.total = total
        self.done = there
        self.stop = f"advaudio-sweep-{uuid.uuid4().hex}"
        self.cell_seconds: list[float] = []

    def all(self, cells: Sequence[Cell], shared: Sequence[Shared]) -> dict[str, Outcome]:
        """Outcome of every job by its name; on Ctrl-C the workers are told, and waited for."""
        from distributed import Event, as_completed, wait

        names = {cell.name for cell in cells}
        jobs = self._jobs(cells, shared)
        needs = {stages.name: set(stages.after) for stages in shared}
        needs |= {
            cell.name: {stages.name for stages in shared if cell.name in stages.cells} for cell in cells
        }
        outcomes: dict[str, Outcome] = {}
        running: dict[Future[Outcome], str] = {}
        arriving = as_completed()

        # Jobs wait here and not as dask's dependencies, whose results would be lost with their worker and
        # made again. The first submitted go first.
        def go_on() -> None:
            while ready := [name for name in jobs if needs[name] <= outcomes.keys()]:
                for name in ready:
                    job = jobs.pop(name)
                    unfit = sorted(need for need in needs[name] if outcomes[need].state != "done")
                    if unfit:
                        outcomes[name] = Outcome(name, "skipped", said=f"needs {', '.join(unfit)}")
                        continue
                    future = self._submit(job, priority=len(jobs))
                    running[future] = name
                    arriving.add(future)

        try:
            go_on()
            for future in arriving:
                name = running.pop(future)
                outcome = outcomes[name] = self._keep(self._outcome(future, name), name in names)
                if outcome.name in names and outcome.state == "done":
                    self.cell_seconds.append(outcome.seconds)
                    self.done += 1
                go_on()
                left = len(names - outcomes.keys())
                self.tell(News(self.total, self.done, outcome, self._seconds_left(left)))
        except BaseException:
            Event(self.stop, client=self.client).set()
            with suppress(TimeoutError):
                wait(list(running), timeout=STOP_SECONDS)
            raise
        return outcomes

    def _jobs(self, cells: Sequence[Cell], shared: Sequence[Shared]) -> dict[str, Job]:
        first = [self.site.shared(stages, alone=len(stages.cells) == len(cells)) for stages in shared]
        return {job.name: job for job in [*first, *(self.site.cell(cell) for cell in cells)]}

    def _submit(self, job: Job, priority: int) -> Future[Outcome]:
        key = f"{job.name}-{self.stop}"
        future: Future[Outcome] = self.client.submit(run_job, job, self.stop, key=key, priority=priority)
        return future

    def _outcome(self, future: Future[Outcome], name: str) -> Outcome:
        if future.status == "finished":
            outcome: Outcome = future.result()
            return outcome
        return Outcome(name, "failed", said=f"{type(future.exception()).__name__}: {future.exception()}")

    def _keep(self, outcome: Outcome, is_cell: bool) -> Outcome:
        """Bring the experiment, the log and the times into the user's repository."""
        if self.site.remote and outcome.said:
            if is_cell and outcome.state == "done":
                reference = experiment_reference(self.site.origin.baseline, outcome.name)
                try:
                    git(
                        self.repository, "fetch", "--quiet", "--force", GIT_REMOTE, f"{reference}:{reference}"
                    )
                except AdvaudioError as error:
                    said = f"{outcome.said}\nIt ran, but could not be fetched: {error}"
                    outcome = replace(outcome, state="failed", said=said)
            log = self.records / "logs" / f"{outcome.name}.log"
            write_text(log, outcome.said)
            outcome = replace(outcome, log=str(log))
        if outcome.state in ("done", "failed"):
            content = {key: value for key, value in asdict(outcome).items() if key != "said"}
            write_json(self.records / "times" / f"{outcome.name}.json", content)
        return outcome

    def _seconds_left(self, cells_left: int) -> float | None:
        if not self.cell_seconds:
            return None
        workers = max(1, len(self.client.scheduler_info()["workers"]))
        mean = sum(self.cell_seconds) / len(self.cell_seconds)
        return mean * -(-cells_left // workers)
