"""How many people each stage of a run will have, counted from its files: nothing is read of pictures or labels."""

from typing import NamedTuple

from tasks.data.selection import counted
from tasks.groups.image_search import Source, picture_files
from tasks.run.plan import Plan

FREE_PHOTOGRAPHS, FREE_PEOPLE = 12, 26
"""The photographs that a run on the studio also takes, and whom the detector finds in them."""


class Counts(NamedTuple):
    """People of a run. Those whom the detector will not find are counted too."""

    sets: tuple[tuple[str, int], ...]  # name and people of each source
    pictures: int  # photographs that are searched for people; 0 where records say where people are
    val: int
    test: int

    @property
    def people(self) -> int:
        """Of all sources together."""
        return sum(count for _, count in self.sets)


def count_people(plan: Plan) -> Counts:
    """Raises SettingsError for records that cannot be used."""
    data, studio = plan.settings.data, plan.settings.studio
    val = sum(counted(data.val)) if data.val else studio.val
    test = sum(counted(data.test)) if data.test else studio.test
    if data.train:
        names = [one.records.stem for one in data.train]
        return Counts(tuple(zip(names, counted(data.train, data.people))), 0, val, test)
    folder = plan.settings.photographs.folder
    if folder is None:
        sets = (("drawn people", studio.wild), ("free photographs", FREE_PEOPLE))
        return Counts(sets, FREE_PHOTOGRAPHS, val, test)
    source = Source(folder, nested=plan.settings.photographs.nested)
    pictures = sum(1 for _ in picture_files(source, folder, []))
    return Counts(((f"{folder.name}, one person each", pictures),), pictures, val, test)
