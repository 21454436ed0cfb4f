"""Fewer and tidier files: verdicts that came in parts become one file, and manifests hold only what counts.

A shard whose groups were judged again and again has a file for each time (`<shard>+1`, `+2`). One file with the newest
verdict on each group takes their place: it is committed beside them first, under the time of the newest, then they
leave the manifest. At every moment a reader finds the same verdicts. The old files stay until `vacuum`, for readers
that began before.
"""

from collections.abc import Iterator
from itertools import groupby

from storage.group_store import GroupStore
from storage.shards.entries import StoredShard, natural

__all__ = ["compact"]


def compact(store: GroupStore) -> Iterator[str]:
    """Merge what can be merged; yields what was done, one sentence each. Raises StoreError for damaged files."""
    for gen in store.gens():
        for critic in store.critics(gen):
            yield from _verdicts(store, gen, critic)
    for manifest in store.manifests():
        if manifest.tidy():
            yield f"{manifest.path.parent}: the manifest was written anew"


def _verdicts(store: GroupStore, gen: str, critic: str) -> Iterator[str]:
    """Parts of one run that no other run's verdicts came between."""
    for shard, parts in store.parts(gen, critic).items():
        for run, same in groupby(reversed(parts), key=lambda part: part.run):
            old = sorted((part.name for part in same), key=natural)
            if len(old) < 2:
                continue
            manifest = store.merge_verdicts(gen, critic, run, shard, old)

            def without(shards: dict[str, StoredShard], old: list[str] = old) -> dict[str, StoredShard]:
                return {name: one for name, one in shards.items() if name not in old}

            manifest.replace(without)
            yield f"{manifest.path.parent}: {len(old)} files of verdicts on {shard} are one"
