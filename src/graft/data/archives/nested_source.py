"""Archives inside a folder or an archive: train.zip and test.zip, a tar in a zip, an archive for each class."""

import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from graft.core.errors import GraftError
from graft.data.archives.open_archive import FolderSource, Member, Source, open_source, require_below
from graft.data.folder.photographs import is_image_name

_ARCHIVE = re.compile(r"(.+?)(?:\.(?:zip|tar|tgz|tbz2?|txz)|\.tar\.(?:gz|bz2|xz))", re.IGNORECASE)


class NestedSource(Source):
    """The members of an archive or a folder as if they lay in a folder of that name."""

    def __init__(self, source: Source, folder: str) -> None:
        super().__init__(source.path)
        self._source, self._folder = source, folder
        self.left_out = source.left_out

    def members(self) -> list[Member]:
        return [Member(f"{self._folder}/{member.name}", member.size) for member in self._source.members()]

    def read(self, names: Collection[str]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        prefix = f"{self._folder}/"
        wanted = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        for member, pieces in self._source.read(wanted) if wanted else ():
            yield Member(prefix + member.name, member.size), pieces


def with_archives_inside(
    source: Source, stack: ExitStack, limit: int, encoding: str | None, beside: Path
) -> list[Source]:
    """Return the source, and beside it the archives inside it where it holds no images of its own.

    Archives in these are not opened. What has to be unpacked for it lies in ``beside`` until the stack closes.

    Args:
        limit: bytes that archives inside an archive, and what all of them hold, may come to.

    Raises:
        GraftError: an archive is damaged or unsafe, or the limit is passed.
    """
    members = source.members()
    found = {member.name: match[1] for member in members if (match := _ARCHIVE.fullmatch(member.name))}
    if not found or any(is_image_name(member.name) for member in members):
        return [source]
    places = {name: source.path / name for name in found}
    if not isinstance(source, FolderSource):
        require_below(sum(member.size for member in members if member.name in found), limit, source.path)
        beside.mkdir(parents=True, exist_ok=True)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="archives-", dir=beside)))
        for number, (member, pieces) in enumerate(source.read(found)):
            places[member.name] = folder / str(number) / member.parts[-1]
            places[member.name].parent.mkdir()
            with places[member.name].open("xb") as out:
                for piece in pieces:
                    out.write(piece)
    sources = [source]
    for name, place in places.items():
        try:
            inner = stack.enter_context(open_source(place, limit, encoding=encoding))
            limit -= sum(member.size for member in inner.members())
            require_below(0, limit, source.path)
        except GraftError as error:
            raise GraftError(error.what.replace(str(place), f"'{name}' in {source.path}"), error.fix) from None
        sources.append(NestedSource(inner, found[name]))
        source.unpacked.add(name)
    return sources
