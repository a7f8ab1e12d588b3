"""`maescan score --ray`: shards of a folder on a Ray cluster, one actor each, put together at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maescan.errors import ConfigError, DataError, MaescanError
from maescan.files import check_claim, claim
from maescan.scoring.merge import check_merged, merge
from maescan.scoring.names import kept_in, names_of
from maescan.scoring.options import EngineOptions, RayOptions, ScoreOptions, Shard
from maescan.scoring.pipeline import check_apart
from maescan.scoring.summary import Summary

TRIES = 3
"""How often an actor that died is started again. It goes on where its ledger ends."""

ONCE = {"RAY_NUM_REDIS_GET_RETRIES": "1"}
"""Ray's own setting while it looks for a cluster: it tries for 40 s, where it would for a quarter of an hour."""


def score_on_ray(
    paths: Sequence[Path],
    bundle: Path,
    out: Path,
    ray_options: RayOptions,
    engine: EngineOptions = EngineOptions(),
    options: ScoreOptions = ScoreOptions(),
) -> Summary:
    """Scores as `run.score_paths` does, on actors of the Ray cluster at an address ("local" starts one here; "auto"
    finds it): by default one per GPU, or one per node for the CPU. Every node must see `paths`, `bundle` and `out`.

    Each actor runs the whole pipeline on its shard into `out`/shards; `merge` makes `out`. Raises ConfigError without
    Ray or a cluster, DataError when a shard's actor died `TRIES` times more, and as `score_paths` does."""
    from maescan.engines.bundle import Bundle

    names = names_of(options.pseudonyms)
    with kept_in(names, [out, bundle], *paths):
        check_apart(paths, out)
        check_claim(out, names.kind)
        check_merged(out)
        ray = _connect(str(ray_options.address))
        try:
            plan = plan_actors(ray, ray_options.actors, engine)
            claim(out, names.kind)
            at, to = Path(os.path.realpath(bundle)), Path(os.path.realpath(out))
            absolute = [Path(os.path.realpath(path)) for path in paths], at, to
            _run_shards(ray, plan, absolute, replace(engine, threads=plan.threads), options)
        finally:
            ray.shutdown()
        return merge([shard_folder(out, (i, plan.count)) for i in range(1, plan.count + 1)], Bundle.load(bundle), out)


def _connect(address: str) -> Any:
    local = address == "local"
    with _environment({} if local else ONCE):
        try:
            import ray
        except ImportError as error:
            raise ConfigError("--ray needs Ray", remedy="pip install 'maescan[ray]'") from error
        try:
            ray.init(address=None if local else address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:  # none there, of another version, no address
            remedy = "check the address, or start one with `ray start --head`"
            raise ConfigError(f"no Ray cluster answers at {address}: {error}", remedy=remedy) from error
    return ray


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """What of `values` is not set yet is, inside."""
    new = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


@dataclass(frozen=True)
class ActorPlan:
    """count: shards, an actor each; threads: of an actor; needs: what an actor asks of Ray."""

    count: int
    threads: int
    needs: dict[str, int]


def plan_actors(ray: Any, actors: int | None, engine: EngineOptions) -> ActorPlan:
    """An actor per GPU, or per node for the CPU. Raises ConfigError for a GPU where the cluster has none."""
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0)) if engine.device != "cpu" else 0
    if engine.device != "cpu" and not gpus:
        raise ConfigError("the Ray cluster has no GPU", remedy="leave out --device, or add nodes with GPUs")
    count = actors or gpus or len(ray.nodes())
    share = max(1, int(resources.get("CPU", 1)) // count)
    threads = engine.threads or share
    return ActorPlan(count, threads, {"num_gpus": 1} if gpus else {"num_cpus": min(threads, share)})


def _run_shards(
    ray: Any, plan: ActorPlan, where: tuple[list[Path], Path, Path], engine: EngineOptions, options: ScoreOptions
) -> None:
    from ray.exceptions import RayActorError

    actor = ray.remote(max_restarts=TRIES, max_task_retries=TRIES, **plan.needs)(_Shard)
    shards = [replace(options, shard=Shard(number, plan.count)) for number in range(1, plan.count + 1)]
    running = [actor.remote() for _ in shards]
    waiting = [one.score.remote(*where, engine, part) for one, part in zip(running, shards, strict=True)]
    for number, task in enumerate(waiting, start=1):
        try:
            ray.get(task)
        except RayActorError as error:
            remedy = "run again: what is scored stays scored; `maescan inspect` may name a scan that crashes it"
            died = f"shard {number}/{plan.count} died {TRIES + 1} times"
            raise DataError(died, path=where[2], remedy=remedy) from error
        except MaescanError as error:
            raise getattr(error, "cause", error) from None


def shard_folder(out: Path, shard: tuple[int, int]) -> Path:
    """Where the outputs of one shard lie."""
    return out / "shards" / f"{shard[0]}-of-{shard[1]}"


class _Shard:
    """An actor: one process with one engine."""

    def score(self, paths: list[Path], bundle: Path, out: Path, engine: EngineOptions, options: ScoreOptions) -> None:
        from maescan.scoring.run import score_paths

        score_paths(paths, bundle, shard_folder(out, options.shard), engine, options)
