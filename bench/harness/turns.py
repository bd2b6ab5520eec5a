"""Two programs side by side: a turn of the one, a turn of the other, and so on; the median of the ratios is what counts."""
import json
import os
import subprocess

ALONE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Missing(Exception):
    """Why a peer, or a program of ours, is not there."""


class Taker:
    """A program that says a line of JSON when it is ready and then takes a turn for every line that it gets."""

    def __init__(self, *words, env=None):
        self.words = [str(word) for word in words]
        environment = {**os.environ, **ALONE, **(env or {})}
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env={key: value for key, value in environment.items() if value is not None})
        line = self.process.stdout.readline()
        if not line:
            _, error = self.process.communicate()
            raise Missing((error.strip().splitlines() or [f"{self.words[0]} ended at once"])[-1])
        self.about = json.loads(line)

    def turn(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Missing((self.process.stderr.read().strip().splitlines() or ["ended within a turn"])[-1])
        return float(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def alternate(takers, rounds):
    """Seconds of each, round by round; the first round only warms up."""
    times = {name: [] for name in takers}
    for done in range(rounds + 1):
        for name, taker in takers.items():
            seconds = taker.turn()
            if done:
                times[name].append(seconds)
    return times


def ratios(theirs, ours):
    return [a / b for a, b in zip(theirs, ours)]
