#!/usr/bin/env python3
"""The example of docs/scene-base.md writes a base that the program takes; a changed one is refused, until it is sealed again.

usage: base.py SLUICE
"""
import pathlib
import re
import subprocess
import sys
import tempfile

TREE = pathlib.Path(__file__).parent.parent.parent


def python_with_numpy():
    """Debian's own has Debian's numpy, whatever comes first in PATH."""
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import numpy"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return python
    return None


def inspect(*arguments):
    done = subprocess.run([sys.argv[1], "inspect", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def expect(status, words, *arguments):
    got, text = inspect(*arguments)
    if got != status or words not in text:
        sys.exit(f"inspect {' '.join(arguments)}: status {got}, wanted {status} and '{words}':\n{text}")


def main():
    python = python_with_numpy()
    if not python:
        print("skipped: python3 has no numpy")
        sys.exit(77)
    example = re.search(r"```python\n(.*?)```", (TREE / "docs/scene-base.md").read_text(), re.DOTALL)[1]
    with tempfile.TemporaryDirectory(prefix="sluice-base-") as folder:
        subprocess.run([python, "-c", example], cwd=folder, check=True)
        path = pathlib.Path(folder) / "mine.safetensors"
        file = path.read_bytes()
        expect(0, "compromised_terminal", str(path))
        path.write_bytes(file[:-1] + bytes([file[-1] ^ 1]))
        expect(2, "checksum does not match", str(path))
        expect(0, "is sealed", "--seal", str(path))
        expect(0, "compromised_terminal", str(path))
        path.write_bytes(file.replace(b'\\"seal\\"', b'\\"zeal\\"', 1))
        expect(2, "no seal", str(path))
        expect(0, "is sealed", "--seal", str(path))
        expect(0, "compromised_terminal", str(path))
        expect(0, '"zeal"', "--json", str(path))
        wrong = file.replace(b"payee_risk_7d", b"payee_risk_7x", 1)
        path.write_bytes(wrong)
        expect(2, "payee_risk_7x", "--seal", str(path))
        if path.read_bytes() != wrong:
            sys.exit("a base that was refused was written all the same")


main()
