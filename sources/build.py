"""What one ingest does: files -> readers -> checks -> partitions and quarantine.

Files that may hold rows of one entity are a group, and groups are worked on one by one, or in parallel processes. What
is made of a group is a part (sources.part): a folder of its own, which gets its name when it is whole, so that an
ingest that was killed goes on with the groups that are missing. Parts are put together at the end.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from sources.config import Source
from sources.files import InputFile, bytes_read
from sources.part import PARTS, Goal, PartOf, put_together
from sources.processes import Outcome, Workers
from sources.readers import CARRYING, READERS, TOGETHER, RawBatch

Progress = Callable[[str, float | None], None]
Group = list[tuple[int, InputFile]]
"""Files with their place among those of the source."""


def build(goals: Sequence[Goal], files: list[InputFile], progress: Progress, workers: int = 1) -> list[dict[str, Any]]:
    """What is recorded of each source, once its folder holds its partitions and quarantine.

    The sources are of one kind with the same files: one alone, or those of one of the kinds that are read together.
    Groups whose parts are there, of an ingest that was killed, are not worked on again.

    progress  called with (what is being read, share of the bytes of all files read)
    """
    for goal in goals:
        for path in (goal.folder / PARTS).glob(".*"):
            shutil.rmtree(path)  # half written by a process that was killed
    groups = _groups(files, goals[0].source)
    sizes = [sum(file.path.stat().st_size for _, file in group) for group in groups]
    total, done = max(sum(sizes), 1), 0
    missing = []
    for number, group in enumerate(groups):
        if all(goal.has(number) for goal in goals):
            done += sizes[number]
        else:
            missing.append((number, group))
    if workers > 1 and len(missing) > 1:

        def ended(place: int, outcome: Outcome) -> None:
            nonlocal done
            number, group = missing[place]
            done += sizes[number]
            progress(f"read {group[-1][1].path.name}", done / total)

        tasks = [(goals, number, group) for number, group in missing]
        with Workers(min(workers, len(tasks))) as processes:
            outcomes = processes.run(make_part, tasks, ended, stop_at_error=True)
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
    else:
        for number, group in missing:
            make_part(goals, number, group, partial(_tell, progress, done, total))
            done += sizes[number]
    return [put_together(goal, len(groups)) for goal in goals]


def _tell(progress: Progress, before: int, total: int, what: str, read: int) -> None:
    progress(what, min((before + read) / total, 1.0))


def _nobody(_what: str, _read: int) -> None:
    pass


def make_part(goals: Sequence[Goal], number: int, group: Group, told: Callable[[str, int], None] = _nobody) -> None:
    """Makes the part of a group of files of each source; `told` is called with (what is being read, bytes read)."""
    works = []
    for goal in goals:
        filling = goal.part(number).with_name(f".{number}.{os.getpid()}")
        shutil.rmtree(filling, ignore_errors=True)
        filling.mkdir(parents=True)
        works.append(PartOf(goal, filling, len(group)))
    reading = _Reading([goal.source for goal in goals], goals[0].window.calendar, told)
    try:
        for batches in reading.batches(group):
            for work, batch in zip(works, batches, strict=True):
                work.add(batch)
            if not any(work.going_on for work in works):
                break
        for place, work in enumerate(works):
            work.end(partial(reading.of_one, group, place))
            work.write_quarantine(dict(group))
        for goal, work in zip(goals, works, strict=True):
            # what is there is of an attempt that was killed between two sources, and holds the same
            shutil.rmtree(goal.part(number), ignore_errors=True)
            os.replace(work.folder, goal.part(number))
    finally:
        for work in works:
            shutil.rmtree(work.folder, ignore_errors=True)


def _groups(files: list[InputFile], source: Source) -> list[Group]:
    """Files that may hold rows of one entity belong together."""

    def entity(item: tuple[int, InputFile]) -> str:
        file = item[1]
        return file.entity or (file.path.parent.name if source.kind == "lean_zip" else "")

    return [list(group) for _, group in groupby(sorted(enumerate(files), key=entity), key=entity)]


class _Reading:
    """The batches of a group of files, one for each source, and how many bytes of the group were read."""

    def __init__(self, sources: list[Source], calendar: str, told: Callable[[str, int], None]) -> None:
        self._sources, self._calendar, self._told = sources, calendar, told

    def batches(self, group: Group) -> Iterator[list[RawBatch]]:
        carried: list[dict[str, Any]] = [{} for _ in self._sources]
        before = 0
        for index, file in group:
            self._told(f"read {file.path.name}", before)
            for batches in self._read(file, index, carried):
                yield batches
                self._told(f"read {file.path.name}", before + bytes_read(file.path))
            before += file.path.stat().st_size

    def of_one(self, group: Group, place: int) -> Iterator[RawBatch]:
        """The batches of a group once more, for one of the sources."""
        return (batches[place] for batches in self.batches(group))

    def _read(self, file: InputFile, index: int, carried: list[dict[str, Any]]) -> Iterator[list[RawBatch]]:
        first, *others = self._sources
        if others:
            yield from TOGETHER[first.kind](self._sources, file, index, self._calendar, carried)
            return
        more = {"carried": carried[0]} if first.kind in CARRYING else {}
        for batch in READERS[first.kind](first, file, index, self._calendar, **more):
            yield [batch]
