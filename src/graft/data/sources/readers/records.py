"""CIFAR-10's binary files: records of one label byte and then all red, all green and all blue samples."""

from collections.abc import Iterator, Sequence
from typing import IO, Literal

from graft.data.sources.readers.pixels import png, png_size, target
from graft.data.sources.readers.reader import Files, Images, Plan, Reader, damaged, label_of


class RecordsReader(Reader):
    """Images and labels in files of records of one size.

    Attributes:
        side: pixels a side; images are square and in colour.
        files: the record files of each split, in the order that images are counted in.
    """

    kind: Literal["records"]
    side: int
    files: dict[Literal["train", "test"], list[str]]

    def fits(self, files: Files) -> bool:
        return all(files.find(name) for names in self.files.values() for name in names)

    def plan(self, files: Files, classes: Sequence[str]) -> Plan:
        places = {files.get(end): split for split, ends in self.files.items() for end in ends}
        labels = {
            name: [label_of(record[0], classes, name, files) for record in self._records(stream, name, files)]
            for name, stream in files.open(places)
        }
        targets: dict[str, list[str]] = {}
        counted = dict.fromkeys(self.files, 0)
        for name, split in places.items():
            first = counted[split]
            targets[name] = [target(split, label, first + i) for i, label in enumerate(labels[name])]
            counted[split] += len(labels[name])

        def images() -> Images:
            for name, stream in files.open(places):
                for image, record in zip(targets[name], self._records(stream, name, files), strict=True):
                    yield image, [png(self._interleaved(record[1:]), self.side, self.side, 3)]

        size = png_size(self.side, self.side, 3)
        return Plan({image: size for images in targets.values() for image in images}, images)

    def _records(self, stream: IO[bytes], name: str, files: Files) -> Iterator[bytes]:
        size = 1 + 3 * self.side**2
        while record := stream.read(size):
            if len(record) < size:
                raise damaged(name, files, "it ends within an image")
            yield record

    def _interleaved(self, planes: bytes) -> bytes:
        pixels = bytearray(len(planes))
        for channel in range(3):
            pixels[channel::3] = planes[channel * self.side**2 : (channel + 1) * self.side**2]
        return bytes(pixels)
