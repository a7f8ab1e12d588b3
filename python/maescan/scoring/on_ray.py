"""`maescan score --ray`: shards of a folder on a Ray cluster, one actor each, put together at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from maescan.errors import ConfigError, DataError, MaescanError
from maescan.scoring.merge import merge
from maescan.scoring.options import EngineOptions, RayOptions, ScoreOptions, Shard
from maescan.scoring.pipeline import Summary

TRIES = 3
"""How often an actor that died is started again. It goes on where its ledger ends."""


def score_on_ray(
    paths: Sequence[Path],
    bundle: Path,
    out: Path,
    ray_options: RayOptions,
    engine: EngineOptions = EngineOptions(),
    options: ScoreOptions = ScoreOptions(),
) -> Summary:
    """Scores as `run.score_paths` does, on actors of the Ray cluster at an address ("local" starts one here; "auto"
    finds it): by default one a GPU, or one a node for the CPU. Every node must see `paths`, `bundle` and `out`.

    Each actor runs the whole pipeline on its shard into `out`/shards; `merge` makes `out`. Raises ConfigError without
    Ray or a cluster, DataError when a shard's actor died `TRIES` times more, and as `score_paths` does."""
    try:
        import ray
        from ray.exceptions import RayActorError
    except ImportError as error:
        raise ConfigError("--ray needs Ray", remedy="pip install 'maescan[ray]'") from error
    address, device = ray_options.address, engine.device
    try:
        ray.init(address=None if address == "local" else address, log_to_driver=False, configure_logging=False)
    except ConnectionError as error:
        raise ConfigError(
            f"no Ray cluster answers at {address}", remedy="start one with `ray start --head`"
        ) from error
    try:
        gpus = int(ray.cluster_resources().get("GPU", 0)) if device != "cpu" else 0
        count = ray_options.actors or gpus or len(ray.nodes())
        if device != "cpu" and not gpus:
            raise ConfigError("the Ray cluster has no GPU", remedy="leave out --device, or add nodes with GPUs")
        cores = int(ray.cluster_resources().get("CPU", 1))
        threads = engine.threads or max(1, cores // count)
        needs = {"num_gpus": 1} if gpus else {"num_cpus": min(threads, max(1, cores // count))}
        remote: Any = ray.remote
        actor = remote(max_restarts=TRIES, max_task_retries=TRIES, **needs)(_Shard)
        absolute = [path.resolve() for path in paths], bundle.resolve(), out.resolve()
        engine = replace(engine, threads=threads)
        running = [actor.remote() for _ in range(count)]
        shards = [replace(options, shard=Shard(i, count)) for i in range(1, count + 1)]
        waiting = [a.score.remote(*absolute, engine, part) for a, part in zip(running, shards, strict=True)]
        for number, task in enumerate(waiting, start=1):
            try:
                ray.get(task)
            except RayActorError as error:
                remedy = "run again: what is scored stays scored; `maescan inspect` may name a scan that crashes it"
                raise DataError(f"shard {number}/{count} died {TRIES + 1} times", path=out, remedy=remedy) from error
            except MaescanError as error:
                raise getattr(error, "cause", error) from None
    finally:
        ray.shutdown()
    from maescan.engines.bundle import Bundle

    return merge([shard_folder(out, (i, count)) for i in range(1, count + 1)], Bundle.load(bundle), out)


def shard_folder(out: Path, shard: tuple[int, int]) -> Path:
    """Where the outputs of one shard lie."""
    return out / "shards" / f"{shard[0]}-of-{shard[1]}"


class _Shard:
    """An actor: one process with one engine."""

    def score(self, paths: list[Path], bundle: Path, out: Path, engine: EngineOptions, options: ScoreOptions) -> None:
        from maescan.scoring.run import score_paths

        score_paths(paths, bundle, shard_folder(out, options.shard), engine, options)
