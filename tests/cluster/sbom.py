#!/usr/bin/env python3
"""Writes a software bill of materials for the image, as CycloneDX 1.6 in JSON.

    sbom.py TARGET OUT.json [--image OUT.tar] [--program FILE] [--certificates FILE]

Listed are the crates that are linked into the program for that target (not what only builds or tests it, nor macros, which run in the
compiler), each with version, licence, source and the checksum of Cargo.lock; Rust's standard library; and the file of CA certificates.
Same input, same bytes. It must never list a crate by guess: Cargo says which features and targets bring which.
"""
import argparse
import hashlib
import json
import os
import re
import subprocess
import tarfile
import uuid

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def cargo(*options):
    return subprocess.run(["cargo", *options], cwd=TOP, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(target):
    """(name, version) of each crate in the program, our own included."""
    lines = cargo("tree", "--locked", "--offline", "--package", "rollcall", "--target", target,
                  "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}", "--no-dedupe").splitlines()
    return sorted({(name, version.lstrip("v")) for name, version in (line.split(" ")[:2] for line in lines if line)})


def licence(package):
    """An SPDX expression; `/` is how it was written before there were any."""
    text = package.get("license")
    return [{"expression": text.replace("/", " OR ")}] if text else [{"license": {"name": package["license_file"]}}]


def checksums():
    """(name, version) to the checksum in Cargo.lock; ours has none. By hand: Python before 3.11 reads no TOML."""
    with open(os.path.join(TOP, "Cargo.lock"), encoding="utf-8") as lock:
        packages = lock.read().split("[[package]]")[1:]
    fields = [dict(re.findall(r'^(\w+) = "(.*)"$', package, re.MULTILINE)) for package in packages]
    return {(package["name"], package["version"]): package.get("checksum") for package in fields}


def crate(package, checksum):
    name, version = package["name"], package["version"]
    url = f"pkg:cargo/{name}@{version}"
    component = {"type": "library", "bom-ref": url, "purl": url, "name": name, "version": version, "licenses": licence(package)}
    if checksum:
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package.get("repository"):
        component["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return component


def sha256(path):
    with open(path, "rb") as body:
        return hashlib.sha256(body.read()).hexdigest()


def standard_library(target):
    lines = subprocess.run(["rustc", "--version", "--verbose"], cwd=TOP, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    said = dict(line.split(": ", 1) for line in lines[1:])
    version = said["release"]
    return {"type": "library", "bom-ref": f"rust-std@{version}", "name": "rust-std", "version": version,
            "description": f"Rust's standard library for {target}, with the C library that comes with it (musl)",
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
            "externalReferences": [{"type": "vcs", "url": "https://github.com/rust-lang/rust", "comment": said["commit-hash"]}]}


def certificates(path):
    content = sha256(path)
    return {"type": "file", "bom-ref": "ca-certificates", "name": "/etc/ssl/certs/ca-certificates.crt",
            "description": "CA certificates of the machine that made the image", "licenses": [{"license": {"id": "MPL-2.0"}}],
            "hashes": [{"alg": "SHA-256", "content": content}]}


def image(path):
    with tarfile.open(path) as tar:
        digest = json.load(tar.extractfile("index.json"))["manifests"][0]["digest"]
    return {"type": "container", "bom-ref": "image", "name": "rollcall", "version": digest}


def document(asked):
    packages = {(package["name"], package["version"]): package
                for package in json.loads(cargo("metadata", "--locked", "--offline", "--format-version", "1",
                                                "--filter-platform", asked.target))["packages"]}
    sums = checksums()
    components = [crate(packages[key], sums[key]) for key in linked(asked.target)]
    ours = next(component for component in components if component["name"] == "rollcall")
    ours["type"] = "application"
    if asked.program:
        ours["hashes"] = [{"alg": "SHA-256", "content": sha256(asked.program)}]
    components.append(standard_library(asked.target))
    if asked.certificates:
        components.append(certificates(asked.certificates))
    metadata = {"component": image(asked.image)} if asked.image else {"component": {**ours, "bom-ref": "program"}}
    body = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": metadata, "components": components}
    # The same bill has the same number; no time is written.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(body, sort_keys=True))
    return {**body, "serialNumber": f"urn:uuid:{number}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("out")
    for option in ["--image", "--program", "--certificates"]:
        parser.add_argument(option)
    asked = parser.parse_args()
    with open(asked.out + ".part", "w", encoding="utf-8") as out:
        json.dump(document(asked), out, indent=1, sort_keys=True)
        out.write("\n")
    os.replace(asked.out + ".part", asked.out)


main()
