"""Groups of our own runs as predictions: the hypotheses that a model drew for people found in photographs.

A path is a run's folder or its store (the newest generation is read), or one shard of a generation,
`store/groups/gen=<name>/<shard>.parquet`. Bodies are those of the run: SMPL's if the run's body is SMPL.
"""

from pathlib import Path

import numpy as np

from storage.group_store import GroupStore, StoreError
from storage.predictions.predicted import Predicted
from storage.records import Group
from storage.sources import SourceError


def shards(path: Path) -> list[Path]:
    """The files of groups below a run's folder, a store, or a generation's folder (`.../groups/gen=<name>`).

    Raises SourceError if there are none.
    """
    if path.name.startswith("gen="):
        store, gen = path.parent.parent, path.name.removeprefix("gen=")
    else:
        store = path / "store" if (path / "store").is_dir() else path
        gens = GroupStore(store).gens()
        if not gens:
            raise SourceError(f"{path}: holds no groups. Give the folder of a run that has sampled: DIR/NAME.")
        gen = gens[-1]
    return [store / "groups" / f"gen={gen}" / f"{name}.parquet" for name in GroupStore(store).group_shards(gen)]


def read(path: Path) -> list[Predicted]:
    """All groups of a run's newest generation, or of one shard; with the scores of its critic, if there is only one.

    Raises SourceError if the path is no run, or if its store is damaged.
    """
    if path.suffix != ".parquet":
        return [one for file in shards(path) for one in read(file)]
    store, gen = GroupStore(path.parent.parent.parent), path.parent.name.removeprefix("gen=")
    try:
        scores = {}
        critics = store.critics(gen)
        if len(critics) == 1 and path.stem in store.verdict_shards(gen, critics[0]):
            scores = {one.group_id: one.scores for one in store.read_verdicts(gen, critics[0], path.stem)}
        return [_predicted(path, gen, group, scores) for group in store.read_groups(gen, path.stem)]
    except StoreError as error:
        raise SourceError(str(error)) from error


def _predicted(path: Path, gen: str, group: Group, scores: dict) -> Predicted:
    person = group.person
    return Predicted(
        model=f"{path.parents[3].name} {gen}",
        file=str(path),
        image=person.photo or person.group_id,
        person=person.group_id.rpartition("-p")[2],
        topology="smpl",
        orient=group.pose[:, 0],
        pose=group.pose[:, 1:],
        betas=np.repeat(group.betas[None], len(group), 0),
        transl=group.translation,
        camera=np.asarray(person.camera, np.float64),
        box=np.asarray(person.box, np.float64),
        scores=scores.get(person.group_id),
    )
