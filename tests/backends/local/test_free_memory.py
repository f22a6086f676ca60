"""How much memory is free: of the machine, and of the container that a process is in."""

from pathlib import Path

import pytest
import torch

from collab_backends.local import free_memory
from collab_backends.local.free_memory import free_memory as free

CPU = torch.device("cpu")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 MiB free, 2 MiB of them quite unused."""
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 16384 kB\nMemFree: 2048 kB\nMemAvailable:    8192 kB\n")
    monkeypatch.setattr(free_memory, "_MEMINFO", path)
    monkeypatch.setattr(free_memory, "_CGROUP", tmp_path)
    return tmp_path


def test_what_files_hold_in_memory_makes_way(machine: Path) -> None:
    assert free(CPU) == 8 * 2**20


def test_a_container_with_a_limit_has_less(machine: Path) -> None:
    (machine / "memory.max").write_text(f"{5 * 2**20}\n")
    (machine / "memory.current").write_text(f"{3 * 2**20}\n")
    (machine / "memory.stat").write_text(f"anon 7\ninactive_file {2**20}\n")

    # 5 - 3 MiB, and 1 MiB of files that make way.
    assert free(CPU) == 3 * 2**20


def test_a_container_without_a_limit_has_what_the_machine_has(machine: Path) -> None:
    (machine / "memory.max").write_text("max\n")

    assert free(CPU) == 8 * 2**20


def test_without_proc_the_system_is_asked(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "_MEMINFO", machine / "nowhere")
    monkeypatch.setattr("os.sysconf", {"SC_AVPHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}.__getitem__)

    assert free(CPU) == 40_960
