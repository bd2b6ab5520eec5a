"""What stands on every figure: machine, compiler, flags, commit, date."""
import json
import os
import platform
import re
import subprocess
import time


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def output(*words):
    try:
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def cpu():
    info = read("/proc/cpuinfo")

    def field(name):
        found = re.search(rf"^{name}\s*:\s*(.*)$", info, re.M)
        return found.group(1) if found else ""
    flags = set((field("flags") or field("Features")).split())
    wanted = ("sse4_2", "avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16", "asimd", "sve")
    caches = {}
    for index in range(8):
        folder = f"/sys/devices/system/cpu/cpu0/cache/index{index}/"
        if os.path.exists(folder):
            caches[f"L{read(folder + 'level')} {read(folder + 'type').lower()}"] = read(folder + "size")
    return {"model": field("model name") or platform.machine(), "family": field("cpu family"), "model_number": field("model"),
            "cores": os.cpu_count(), "mhz": float(field("cpu MHz") or 0), "caches": caches,
            "isa": [flag for flag in wanted if flag in flags]}


def build_facts(build):
    cache = read(os.path.join(build, "CMakeCache.txt"))

    def entry(name):
        found = re.search(rf"^{name}:\w+=(.*)$", cache, re.M)
        return found.group(1) if found else ""
    compiler = entry("CMAKE_C_COMPILER")
    version = (output(compiler, "--version") if compiler else "").split("\n")[0]
    kind = entry("CMAKE_BUILD_TYPE")
    flags = {}
    for command in json.loads(read(os.path.join(build, "compile_commands.json")) or "[]"):
        name = os.path.basename(command["file"])
        if name.startswith("panel_") or name == "pipeline.c":
            flags[name] = " ".join(word for word in command["command"].split() if re.match(r"-(O|m|f|std)", word))
    return {"compiler": version, "build_type": kind, "flags": flags}


def stamp(build):
    """Of one invocation of bench/run; every stage that it runs carries it."""
    memory = re.search(r"MemTotal:\s+(\d+)", read("/proc/meminfo"))
    commit = output("git", "rev-parse", "--short", "HEAD") or "unknown"
    if output("git", "status", "--porcelain", "--untracked-files=no"):
        commit += " and changes"
    return {"cpu": cpu(), "memory_mib": int(memory.group(1)) // 1024 if memory else 0, "kernel": platform.release(),
            "system": platform.system(), "commit": commit, "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "openblas_coretype": os.environ.get("OPENBLAS_CORETYPE", "unset"), **build_facts(build)}
