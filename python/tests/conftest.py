import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "testdata/lab/captures"


@pytest.fixture(scope="session")
def lab() -> Path:
    return LAB


@pytest.fixture(scope="session")
def program():
    """``report.json`` as the program prints it; skips when it has not been built."""
    built = [ROOT / "target" / profile / "pcapsy" for profile in ("debug", "release")]
    built = [path for path in built if path.exists()]
    if not built:
        pytest.skip("the program has not been built")

    def run(*inputs: Path) -> str:
        command = [str(built[0]), "analyze", "--json", "--no-files", "--set", "--fail-on", "never"]
        done = subprocess.run(command + [str(path) for path in inputs], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
