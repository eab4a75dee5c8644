#!/usr/bin/env python3
"""Makes an OCI image archive from executables that need nothing else (static ones), without a registry or a container engine.

    image.py NAME OUT.tar EXECUTABLE[=PATH]... [--user 65532] [--file SOURCE=PATH]...
    image.py --digest-of OUT.tar

The second form prints the digest by which a registry knows the image.

The entry point is the first executable; PATH is where a file lies in the image (default: / and the file's name).
Same input, same bytes: it must never put a time, an owner or an order of its own into the archive, nor run anything.
"""
import argparse
import hashlib
import io
import json
import os
import platform
import sys
import tarfile

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MEDIA = "application/vnd.oci.image."


def place(argument, mode):
    """`SOURCE[=PATH]` as (path in the image without the leading slash, source, mode)."""
    source, _, path = argument.partition("=")
    return (path or os.path.basename(source)).lstrip("/"), source, mode


def entry(path, mode, kind=tarfile.REGTYPE, size=0):
    """A tar header that tells nothing of where and when it was made."""
    header = tarfile.TarInfo(path)
    header.mode, header.type, header.size = mode, kind, size
    return header


def parents(paths):
    """Every folder above the paths, outermost first."""
    found = set()
    for path in paths:
        parts = path.split("/")[:-1]
        found.update("/".join(parts[: n + 1]) for n in range(len(parts)))
    return sorted(found)


def layer_of(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in parents([path for path, _, _ in files]):
            tar.addfile(entry(folder, 0o755, tarfile.DIRTYPE))
        for path, source, mode in sorted(files):
            with open(source, "rb") as body:
                tar.addfile(entry(path, mode, size=os.path.getsize(source)), body)
    return buffer.getvalue()


def digest(body):
    return "sha256:" + hashlib.sha256(body).hexdigest()


def encode(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def describe(media, body):
    return {"mediaType": MEDIA + media, "digest": digest(body), "size": len(body)}


def blobs_of(name, layer, entry_point, user):
    """Index and the three blobs of an image with one layer."""
    config = encode({
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()), "os": "linux",
        "config": {"Entrypoint": ["/" + entry_point], "User": user, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
    })
    manifest = encode({
        "schemaVersion": 2, "mediaType": MEDIA + "manifest.v1+json",
        "config": describe("config.v1+json", config), "layers": [describe("layer.v1.tar", layer)],
    })
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rsplit(":", 1)[-1]}
    index = encode({"schemaVersion": 2, "mediaType": MEDIA + "index.v1+json",
                    "manifests": [{**describe("manifest.v1+json", manifest), "annotations": names}]})
    return index, [layer, config, manifest]


def write(out, index, blobs):
    bodies = [("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", index)]
    bodies += [("blobs/sha256/" + digest(blob)[7:], blob) for blob in blobs]
    with tarfile.open(out + ".part", "w", format=tarfile.USTAR_FORMAT) as tar:
        for path, body in bodies:
            tar.addfile(entry(path, 0o644, size=len(body)), io.BytesIO(body))
    os.replace(out + ".part", out)


def digest_of(path):
    with tarfile.open(path) as tar:
        return json.load(tar.extractfile("index.json"))["manifests"][0]["digest"]


def main():
    if sys.argv[1:2] == ["--digest-of"] and len(sys.argv) == 3:
        print(digest_of(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("out")
    parser.add_argument("executables", nargs="+", metavar="EXECUTABLE[=PATH]")
    parser.add_argument("--user", default="65532", help="numeric, so that runAsNonRoot can be checked")
    parser.add_argument("--file", action="append", default=[], metavar="SOURCE=PATH")
    asked = parser.parse_intermixed_args()
    executables = [place(argument, 0o755) for argument in asked.executables]
    files = executables + [place(argument, 0o644) for argument in asked.file]
    index, blobs = blobs_of(asked.name, layer_of(files), executables[0][0], asked.user)
    write(asked.out, index, blobs)


main()
