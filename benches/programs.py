#!/usr/bin/env python3
"""Measures forwards of virtnet beside HAProxy, with programs as they are.

    benches/programs.py                      all works, 5 rounds
    benches/programs.py --quick              short works, 1 round: whether everything runs
    benches/programs.py --only gigabyte      one work: pgbench, redis, redis-pipelined, gigabyte, idle, stopped

Three ways lead to the same server, all on loopback:

    direct    client -> server
    haproxy   client -> HAProxy -> HAProxy -> server, two processes, mode tcp
    virtnet   client -> virtnet reach -> virtnet expose -> server, two processes

In each round the ways take turns. Figures are medians over the rounds; ratios are the
medians of the rounds' ratios. Only ratios count: the figures are those of one machine.

Needs haproxy, redis-server, redis-benchmark, pgbench and PostgreSQL's server (Debian:
haproxy redis-server postgresql postgresql-contrib), and builds virtnet. As root, which
PostgreSQL refuses to run as, its server runs as the user postgres.
"""

import argparse
import contextlib
import csv
import glob
import hashlib
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WAYS = ("direct", "haproxy", "virtnet")
WITHIN = 60
IDLE = 1000
GIGABYTE = 1 << 30
CHUNK = 1 << 20


def fail(why):
    sys.exit(f"benches/programs.py: {why}")


def program(name, *places):
    """The path of a program that must be there."""
    found = shutil.which(name) or next((p for place in places for p in sorted(glob.glob(f"{place}/{name}"))), None)
    return found or fail(f"{name} is missing: install it")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def until(what, is_so):
    """Asks again and again, within a bound."""
    end = time.monotonic() + WITHIN
    while not is_so():
        if time.monotonic() > end:
            fail(f"not within {WITHIN} s: {what}")
        time.sleep(0.01)


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def output(command, **options):
    """What a program prints that must end well, within a bound."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=WITHIN, **options)
    except subprocess.CalledProcessError as err:
        fail(f"{err}: {err.stderr}")
    return done.stdout


@contextlib.contextmanager
def running(command, log, **options):
    """A process, ended at the end."""
    with open(log, "wb") as out:
        process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=out, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def resident(process):
    """Resident memory, in bytes."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024


class Ways:
    """The ports of the three ways to one server, and the processes between."""

    def __init__(self, stack, scratch, virtnet, name, server):
        self.ports = {"direct": server}
        self.between = {"direct": []}
        to, self.between["haproxy"] = server, []
        for hop in ("second", "first"):
            port = free_port()
            config = scratch / f"{name}-{hop}.cfg"
            config.write_text(
                "global\n  maxconn 4000\n"
                "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 10m\n  timeout server 10m\n"
                f"listen it\n  bind 127.0.0.1:{port}\n  server next 127.0.0.1:{to}\n"
            )
            command = [program("haproxy", "/usr/sbin"), "-db", "-f", config]
            self.between["haproxy"].append(stack.enter_context(running(command, scratch / f"{name}-{hop}.log")))
            until("HAProxy listens", lambda port=port: connects(port))
            to = port
        self.ports["haproxy"] = to

        env = {**os.environ, "VIRTNET_REGISTRY": f"local:{scratch}/names"}
        ready = {side: scratch / f"{name}-{side}.ready" for side in ("expose", "reach")}
        commands = {
            "expose": ["expose", f"{name}:1", "--to", f"127.0.0.1:{server}"],
            "reach": ["reach", f"{name}:1", "--at", "127.0.0.1:0", "--from", f"{name}-client"],
        }
        self.between["virtnet"] = []
        for side, words in commands.items():
            words = [virtnet, *words, "--max-connections", "4000", "--ready-file", ready[side]]
            process = stack.enter_context(running(words, scratch / f"{name}-{side}.log", env=env))
            self.between["virtnet"].append(process)
            until(f"virtnet {side} is ready", ready[side].exists)
        line = ready["reach"].read_text().splitlines()[0]
        self.ports["virtnet"] = int(line.split("127.0.0.1:")[1].split()[0])


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


class Work:
    """What is measured by each way: two numbers, which `metrics` names."""

    # Whether one round is all.
    once = False


class Postgres(Work):
    name = "pgbench"
    what = "pgbench, read-only, 8 clients"
    metrics = ("transactions/s", "p99, ms")

    def __init__(self, stack, scratch, virtnet, quick):
        self.scratch, self.seconds = scratch, 1 if quick else 8
        places = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
        self.pgbench, port = program("pgbench", *places), free_port()
        data = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="virtnet-pg")))
        as_user = {}
        if os.geteuid() == 0:
            shutil.chown(data, "postgres", "postgres")
            as_user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        # A password file is not needed: only this machine's loopback is listened at, and only for this run.
        subprocess.run(
            [program("initdb", *places), "-D", data / "d", "-U", "bench", "-A", "trust", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd="/", **as_user,
        )
        server = [program("postgres", *places), "-D", data / "d", "-p", port, "-k", data, "-c", "fsync=off",
                  "-c", "listen_addresses=127.0.0.1"]
        stack.enter_context(running(server, scratch / "postgres.log", cwd="/", **as_user))
        ready = [program("pg_isready", *places), "-q", "-h", "127.0.0.1", "-p", str(port)]
        until("PostgreSQL is ready", lambda: subprocess.run(ready, check=False).returncode == 0)
        self.run_bench(port, "-i", "-q", "-s", "5")
        self.ways = Ways(stack, scratch, virtnet, self.name, port)

    def run_bench(self, port, *options):
        command = [self.pgbench, "-h", "127.0.0.1", "-p", str(port), "-U", "bench", *options, "postgres"]
        return output(command, cwd=self.scratch)

    def measure(self, way):
        said = self.run_bench(self.ways.ports[way], "-S", "-n", "-c", "8", "-j", "2", "-T", str(self.seconds), "-l")
        rate = next(float(line.split()[2]) for line in said.splitlines() if line.startswith("tps ="))
        took = []
        for log in self.scratch.glob("pgbench_log.*"):
            took += [int(line.split()[2]) for line in log.read_text().splitlines()]
            log.unlink()
        return rate, percentile(took, 0.99) / 1000


class Redis(Work):
    name = "redis"
    what = "redis-benchmark, GET, 50 clients"
    metrics = ("requests/s", "p99, ms")
    pipeline = 1

    def __init__(self, stack, scratch, virtnet, quick):
        port = free_port()
        command = [program("redis-server"), "--port", port, "--bind", "127.0.0.1", "--save", ""]
        stack.enter_context(running(command, scratch / f"{self.name}.log"))
        until("Redis listens", lambda: connects(port))
        self.requests = (2_000 if quick else 150_000) * (1 if self.pipeline == 1 else 8)
        self.ways = Ways(stack, scratch, virtnet, self.name, port)

    def measure(self, way):
        command = [program("redis-benchmark"), "-p", self.ways.ports[way], "-t", "get", "-c", 50, "-n", self.requests,
                   "-P", self.pipeline, "--csv"]
        row = next(csv.DictReader(output(command).splitlines()))
        return float(row["rps"]), float(row["p99_latency_ms"])


class RedisPipelined(Redis):
    name = "redis-pipelined"
    what = "redis-benchmark, GET, 50 clients, 16 at a time"
    pipeline = 16


class Sockets(Work):
    """A server of our own: it keeps connections open, and sends back what a first byte asks for."""

    def __init__(self, stack, scratch, virtnet, quick):
        self.size = (GIGABYTE >> 6) if quick else GIGABYTE
        self.data, self.sent = os.urandom(CHUNK), 0
        self.open, self.lock = 0, threading.Lock()
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4000))
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()
        self.ways = Ways(stack, scratch, virtnet, self.name, listener.getsockname()[1])

    def accept(self, listener):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def count(self, one):
        with self.lock:
            self.open += one

    def serve(self, conn):
        self.count(1)
        with contextlib.ExitStack() as stack:
            stack.callback(self.count, -1)
            stack.enter_context(conn)
            stack.enter_context(contextlib.suppress(OSError))
            if not (wish := conn.recv(1)):
                return
            if wish == b"d":
                self.send(conn)
                return
            conn.sendall(self.receive(conn, checked=wish == b"c"))

    def send(self, conn):
        self.sent = 0
        for _ in range(self.size // CHUNK):
            rest = memoryview(self.data)
            while rest:
                count = conn.send(rest)
                self.sent += count
                rest = rest[count:]
        conn.shutdown(socket.SHUT_WR)

    def receive(self, conn, checked):
        """All until the end: its number of bytes, and their hash if they are checked."""
        buffer, total, digest = bytearray(CHUNK), 0, hashlib.sha256()
        while count := conn.recv_into(buffer):
            total += count
            if checked:
                digest.update(memoryview(buffer)[:count])
        return f"{total} {digest.hexdigest() if checked else ''}".encode()

    def connect(self, way):
        return socket.create_connection(("127.0.0.1", self.ways.ports[way]), timeout=WITHIN)


class Gigabyte(Sockets):
    name = "gigabyte"
    what = "1 GiB over one connection"
    metrics = ("MB/s to the server", "MB/s from it")

    def __init__(self, *arguments):
        super().__init__(*arguments)
        # Not timed: the hash is slower than some of the ways.
        sent = hashlib.sha256()
        for _ in range(self.size // CHUNK):
            sent.update(self.data)
        expected = f"{self.size} {sent.hexdigest()}".encode()
        for way in WAYS:
            for seen in (self.upload(way, b"c"), self.download(way, checked=True)):
                if seen != expected:
                    fail(f"{way}: expected {expected}, got {seen}")

    def upload(self, way, wish):
        with self.connect(way) as conn:
            conn.sendall(wish)
            self.send(conn)
            return conn.recv(200)

    def download(self, way, checked):
        with self.connect(way) as conn:
            conn.sendall(b"d")
            return self.receive(conn, checked)

    def measure(self, way):
        rates = []
        for transfer in (lambda: self.upload(way, b"u"), lambda: self.download(way, checked=False)):
            begin = time.monotonic()
            transfer()
            rates.append(self.size / 1e6 / (time.monotonic() - begin))
        return tuple(rates)


class Idle(Sockets):
    name = "idle"
    what = f"{IDLE:,} connections that do nothing"
    metrics = ("bytes each, both processes", "seconds to connect all")
    # Processes keep memory that they have used.
    once = True

    def measure(self, way):
        between = self.ways.between[way]
        before, begin = sum(map(resident, between)), time.monotonic()
        with contextlib.ExitStack() as stack:
            conns = [stack.enter_context(self.connect(way)) for _ in range(IDLE)]
            until(f"all connections are at the server by {way}", lambda: self.open >= len(conns))
            seconds = time.monotonic() - begin
            used = (sum(map(resident, between)) - before) / IDLE
        until(f"all connections by {way} are closed", lambda: self.open == 0)
        return used, seconds


class Stopped(Sockets):
    name = "stopped"
    what = "a client that reads nothing"
    metrics = ("MB that the server can send", "MB held by both processes")
    once = True

    def measure(self, way):
        between = self.ways.between[way]
        before, self.sent = sum(map(resident, between)), 0
        with self.connect(way) as conn:
            conn.sendall(b"d")
            until(f"the server sends by {way}", lambda: self.sent > 0)
            # Until nothing more is taken for a second. Without a bound of its own: there is a gigabyte at most.
            sent = 0
            while sent != self.sent:
                sent = self.sent
                time.sleep(1)
            held = sum(map(resident, between)) - before
        until(f"the connection by {way} is closed", lambda: self.open == 0)
        return sent / 1e6, held / 1e6


WORKS = (Postgres, Redis, RedisPipelined, Gigabyte, Idle, Stopped)
GOALS = {
    ("pgbench", 0): ("≥", 0.8), ("pgbench", 1): ("≤", 1.5),
    ("redis", 0): ("≥", 0.8), ("redis", 1): ("≤", 1.5),
    ("redis-pipelined", 0): ("≥", 0.8), ("redis-pipelined", 1): ("≤", 1.5),
    ("gigabyte", 0): ("≥", 0.6), ("gigabyte", 1): ("≥", 0.6),
}


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def report(work, rounds):
    for at, metric in enumerate(work.metrics):
        row = [work.what, metric]
        for way in WAYS:
            values = [measured[way][at] for measured in rounds]
            # Nothing is between.
            held = way == "direct" and "processes" in metric
            row.append("–" if held else number(statistics.median(values)))
        ratio = statistics.median(measured["virtnet"][at] / measured["haproxy"][at] for measured in rounds)
        goal = ""
        if (work.name, at) in GOALS:
            sign, bound = GOALS[work.name, at]
            reached = ratio >= bound if sign == "≥" else ratio <= bound
            goal = f"{sign} {bound}: " + ("reached" if reached else "**not reached**")
        print("| " + " | ".join([*row, f"{ratio:.2f}", goal]) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=[work.name for work in WORKS])
    options = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--quiet", "--locked", "--features", "cli"], check=True, cwd=ROOT)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    virtnet = (ROOT / target / "release" / "virtnet").resolve()

    print("| work | | direct | HAProxy, two hops | virtnet | virtnet ÷ HAProxy | goal |")
    print("|---|---|---:|---:|---:|---:|---|")
    for work in WORKS:
        if options.only not in (None, work.name):
            continue
        with contextlib.ExitStack() as stack:
            scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="virtnet-bench")))
            one = work(stack, scratch, virtnet, options.quick)
            rounds = []
            for turn in range(1 if options.quick or one.once else options.rounds):
                # Another way begins each time.
                ways = WAYS[turn % len(WAYS):] + WAYS[:turn % len(WAYS)]
                rounds.append({way: one.measure(way) for way in ways})
            report(work, rounds)


if __name__ == "__main__":
    main()
