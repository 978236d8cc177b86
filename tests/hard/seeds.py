"""Small valid files, made here, that fuzz begins with: pictures, archives, tables, documents."""

import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

SIDE = 24  # pixels; small files are mutated more thoroughly


def picture(mode: str = "RGB", side: int = SIDE) -> Image.Image:
    """Return a picture of noise and slopes, of any of Pillow's modes."""
    ramp = np.linspace(0, 255, side)
    noise = np.random.default_rng(1).integers(0, 60, (side, side, 4))
    pixels = np.clip(np.stack([np.add.outer(ramp, ramp) / 2] * 4, -1) + noise, 0, 255).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    if mode == "F":
        return Image.fromarray(pixels[..., 0].astype(np.float32))
    if mode == "P":
        return Image.fromarray(pixels[..., :3]).quantize(16)
    return Image.fromarray(pixels).convert(mode)


def saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    """Return the bytes of a picture as Pillow writes that kind."""
    stream = io.BytesIO()
    picture(mode).save(stream, kind, **options)
    return stream.getvalue()


def exif(orientation: int = 6) -> bytes:
    """Return Exif as a camera writes it."""
    tags = Image.Exif()
    tags[274], tags[271], tags[306] = orientation, "camera", "2026:01:01 00:00:00"
    tags.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0note"
    return tags.tobytes()


def common_pictures() -> list[bytes]:
    """Return pictures of the formats that Pillow reads by code of its own and the usual libraries."""
    frames = [picture("P"), picture("P").rotate(90)]
    film = io.BytesIO()
    frames[0].save(film, "GIF", save_all=True, append_images=frames[1:], transparency=3, duration=100)
    pages = io.BytesIO()
    picture().save(pages, "TIFF", save_all=True, append_images=list(ImageSequence.Iterator(picture("L"))))
    deep = b"P6 6 6 4095\n" + np.arange(216, dtype=">u2").tobytes()[:216]
    return [
        saved("JPEG", exif=exif(), quality=70),
        saved("JPEG", "CMYK", progressive=True),
        saved("JPEG", "L", comment=b"grey"),
        saved("PNG", exif=exif(8)),
        saved("PNG", "P", transparency=b"\0\x7f\xff"),
        saved("PNG", "I;16"),
        saved("PNG", "LA"),
        saved("PNG", "1"),
        film.getvalue(),
        saved("BMP"),
        saved("BMP", "P"),
        saved("WEBP", "RGBA", lossless=True),
        saved("WEBP", exif=exif(3), quality=50),
        saved("TIFF", compression="tiff_lzw"),
        saved("TIFF", "I;16"),
        saved("TIFF", "RGBA", compression="tiff_adobe_deflate"),
        saved("TIFF", compression="jpeg"),
        saved("TIFF", "F"),
        pages.getvalue(),
        saved("PPM"),
        saved("PPM", "1"),
        b"P2 # grey\n2 2 255\n0 1\n2 3\n",
        deep,
    ]


def box_pictures() -> list[bytes]:
    """Return pictures that libraries for film take apart: HEIC and AVIF, and JPEG 2000."""
    from pillow_heif import register_heif_opener

    register_heif_opener(thumbnails=False)
    return [
        saved("HEIF", exif=exif(), quality=30),
        saved("AVIF", exif=exif(3), quality=30),
        saved("AVIF", "RGBA", quality=30),
        saved("JPEG2000"),
        saved("JPEG2000", "L", no_jp2=True),
    ]


PHOTOGRAPH = saved("JPEG", quality=20)
MEMBERS = {"set/cat/1.jpg": PHOTOGRAPH, "set/dog/ä 2.jpg": PHOTOGRAPH[:300], "set/notes.txt": b"note\n" * 40}


def zips() -> list[bytes]:
    """Return zip files: stored and packed, names in UTF-8 and in code page 437, large sizes, a zip within."""
    found = [zip_of(MEMBERS, zipfile.ZIP_STORED), zip_of(MEMBERS, zipfile.ZIP_DEFLATED)]
    found += [zip_of(MEMBERS, kind) for kind in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)]
    found.append(found[1].replace("ä".encode(), b"\x84\x84"))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        with archive.open("cat/1.jpg", "w", force_zip64=True) as member:
            member.write(PHOTOGRAPH)
        archive.mkdir("dog")
        archive.writestr("dog/in.zip", found[0])
    return [*found, stream.getvalue()]


def zip_of(members: Mapping[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip file of these."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, kind)
    return stream.getvalue()


def tar_of(members: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar file of these, unpacked."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def tars() -> list[bytes]:
    """Return tar files of the three forms, with long names and attributes, sparse, and packed three ways."""
    long = {f"set/{'very long folder ' * 9}/1.jpg": PHOTOGRAPH[:200], "cat/2.jpg": PHOTOGRAPH}
    plain = [tar_of(MEMBERS, tarfile.USTAR_FORMAT), tar_of(long, tarfile.GNU_FORMAT), tar_of(long)]
    sparse = io.BytesIO()
    with tarfile.open(fileobj=sparse, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("cat/sparse.jpg")
        info.pax_headers = {"GNU.sparse.map": "0,10,20,10", "GNU.sparse.size": "40", "mtime": "1.5"}
        info.size = 20
        archive.addfile(info, io.BytesIO(b"x" * 20))
        link = tarfile.TarInfo("cat/link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "../../1.jpg"
        archive.addfile(link)
    plain.append(sparse.getvalue())
    return [*plain, gzip.compress(plain[0], mtime=0), lzma.compress(plain[2], preset=0), _bz2(plain[1])]


def _bz2(data: bytes) -> bytes:
    import bz2

    return bz2.compress(data)


def debian_packages() -> list[bytes]:
    """Return Debian packages, packed and not."""
    data = tar_of(MEMBERS, tarfile.GNU_FORMAT)
    kinds = {
        "data.tar": data,
        "data.tar.gz": gzip.compress(data, mtime=0),
        "data.tar.xz": lzma.compress(data, preset=0),
    }
    found = []
    for name, packed in kinds.items():
        parts = {"debian-binary": b"2.0\n", "control.tar.gz": gzip.compress(tar_of({"control": b"Package: x\n"}))}
        package = b"!<arch>\n"
        for part, content in {**parts, name: packed}.items():
            package += f"{part:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
            package += b"\n" * (len(content) % 2)
        found.append(package)
    return found
