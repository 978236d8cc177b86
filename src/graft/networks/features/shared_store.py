"""A copy of the feature store that machines share: an object store or any other place that fsspec knows.

What one machine computed, the others fetch. Shards never change and have names that nobody else chooses, so that
writers need not know of each other here either. A place that does not answer costs a warning and no run.
"""

import re
from pathlib import Path
from typing import Any, ClassVar

from graft.core.credentials import without_credentials
from graft.core.errors import GraftError, first_line
from graft.core.files import replaced_file
from graft.core.progress import console
from graft.networks.features.shards import SUFFIX, Shard, shards_of

# As shards are named; nothing else that lies there is fetched.
_NAME = re.compile(rf"[0-9a-f]{{32}}{re.escape(SUFFIX)}")
# By kind of address. The own limits of S3's clients hold a run up for minutes.
_OPTIONS: dict[str, dict[str, Any]] = {
    "file": {"auto_mkdir": True},
    "s3": {"config_kwargs": {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 2}}},
}


class SharedStore:
    """The shards of all spaces below an address such as ``s3://bucket/features``."""

    # Addresses that did not answer: said once, and not asked again by this process.
    _away: ClassVar[set[str]] = set()

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def exchange(self, folder: Path, room: int) -> None:
        """Fetch the shards of a space that ``folder`` lacks, and hand over those that it alone has.

        Args:
            folder: of the space.
            room: bytes that may be fetched; what does not fit stays there.

        Raises:
            GraftError: the kind of address is not known, or its client is not installed.
        """
        own = {path.name: path for path in shards_of(folder)}
        try:
            there = self._sizes(folder.name)
            for name, size in there.items():
                if name in own or size > room:
                    continue
                room -= size
                self._fetch(folder / name)
            for name, path in own.items():
                if name not in there:
                    self.put(path)
        except AwayError as away:
            self._warn(away)

    def put(self, shard: Path) -> None:
        """Hand over one shard; its folder is its space."""
        try:
            self._call(lambda files, root: files.put_file(str(shard), f"{root}/{shard.parent.name}/{shard.name}"))
        except AwayError as away:
            self._warn(away)

    def _sizes(self, space: str) -> dict[str, int]:
        def sizes(files: Any, root: str) -> dict[str, int]:
            files.invalidate_cache()
            try:
                found = files.ls(f"{root}/{space}", detail=True)
            except FileNotFoundError:
                return {}
            names = {str(one["name"]).rpartition("/")[2]: int(one["size"] or 0) for one in found}
            return {name: size for name, size in names.items() if _NAME.fullmatch(name)}

        return self._call(sizes) or {}

    def _fetch(self, target: Path) -> None:
        try:
            with replaced_file(target) as partial:
                self._call(
                    lambda files, root: files.get_file(f"{root}/{target.parent.name}/{target.name}", str(partial))
                )
                Shard(partial)
        except GraftError as error:  # torn, or no shard at all: its rows are computed here
            console.print(f"Of {without_credentials(self.address)} a shard is passed over: {error}", soft_wrap=True)

    def _call(self, action: Any) -> Any:
        """Return what an action makes of the file system and the root there; None once it has not answered."""
        if self.address in self._away:
            return None
        files, root = open_address(self.address)
        try:
            return action(files, root)
        except Exception as error:  # of whatever client the address takes
            raise AwayError(first_line(error)) from error

    def _warn(self, reason: Exception) -> None:
        self._away.add(self.address)
        words = f"The shared feature store {self.address} is left out of this run: {reason}"
        console.print(without_credentials(words), soft_wrap=True)


def open_address(address: str) -> tuple[Any, str]:
    """Return a file system of fsspec's for an address, and the path in it.

    Raises:
        GraftError: the kind of address is not known, or its client is not installed.
    """
    import fsspec

    try:
        files, root = fsspec.core.url_to_fs(address.rstrip("/"), **_OPTIONS.get(address.partition(":")[0], {}))
    except (ImportError, ValueError) as error:
        raise GraftError(
            f"train.store.shared is {address}, which cannot be opened: {first_line(error)}",
            "Name an address such as s3://BUCKET/features; for S3: pip install 'graft[team]'",
        ) from error
    return files, root


class AwayError(Exception):
    """The place does not answer, or refuses."""
