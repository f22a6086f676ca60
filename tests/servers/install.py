"""Builds llama.cpp's server for the tests, from the sources that a Python package ships.

    python tests/servers/install.py FOLDER

Goes on where it was interrupted; does nothing if it is there. Takes 7 minutes on two idle cores.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

SOURCES = "llama-cpp-python==0.3.36"
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "OFF",
    "LLAMA_CURL": "OFF",
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_SERVER": "ON",
    "LLAMA_BUILD_UI": "OFF",
    # For any machine of the kind, not for this one alone.
    "GGML_NATIVE": "OFF",
    "GGML_AVX2": "ON",
    "GGML_FMA": "ON",
    "GGML_F16C": "ON",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="Where the server comes to lie.")
    folder: Path = parser.parse_args().folder.expanduser().resolve()
    target = folder / "llama-server"
    if target.exists():
        return 0
    if missing := [tool for tool in ("cmake", "c++") if shutil.which(tool) is None]:
        sys.stderr.write(f"cannot build llama-server: {' and '.join(missing)} not found\n")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    build = folder / "build"
    if not (build / "CMakeCache.txt").exists():
        options = [f"-D{name}={value}" for name, value in OPTIONS.items()]
        run("cmake", "-S", str(sources(folder)), "-B", str(build), *options)
    run("cmake", "--build", str(build), "--target", "llama-server", "--parallel", "2")
    shutil.copy2(build / "bin" / "llama-server", target)
    return 0


def sources(folder: Path) -> Path:
    """Return the folder of llama.cpp's sources, downloaded if needed."""
    found = next(folder.glob("llama_cpp_python-*/vendor/llama.cpp"), None)
    if found is None:
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")
        run(*pip, "--no-binary", ":all:", "--dest", str(folder), SOURCES)
        with tarfile.open(next(folder.glob("llama_cpp_python-*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        found = next(folder.glob("llama_cpp_python-*/vendor/llama.cpp"))
    return found


def run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(main())
